"""Prompts with a right and a wrong answer, in train and test splits that share no noun, fact or operand pair.

Written to --out: {behaviour}_{split}.jsonl for each of --behaviours. With --source the prompts of one behaviour come
from a file: GSM8K problems, minimal pairs of agreement, or prompts of one's own.
"""

import sys
from pathlib import Path
from typing import cast

from absl import flags

from causeway.drivers.flags.flag_values import MOST_SEED, folder
from causeway.drivers.flags.left_out import tell
from causeway.drivers.flags.refusals import run_driver

_BEHAVIOURS = flags.DEFINE_list(
    "behaviours",
    ["grammar_agreement", "factual_recall", "sentiment_continuation", "arithmetic"],
    "Behaviours to write, or `all` that need no file; also synthetic_arithmetic, synthetic_logic, "
    "agreement_attractors, indirect_objects, slot_machine, slot_machine_study, bundled_TASK; from --source: gsm8k, "
    "agreement_attractors, own.",
)
_TEMPLATES = flags.DEFINE_enum(
    "templates", "enlarged", ["enlarged", "documented"], "Lists and phrasings: enlarged, or the document's own."
)
_TRAIN = flags.DEFINE_integer(
    "train", None, "Training items (default: 80; synthetic sets 5000; own: all there are).", lower_bound=0
)
_TEST = flags.DEFINE_integer(
    "test", None, "Test items (default: 20; synthetic sets 500; own: a fifth of all).", lower_bound=0
)
_SOURCE = flags.DEFINE_string("source", None, "JSON lines that the one behaviour of --behaviours is made from.")
_TEST_SOURCE = flags.DEFINE_string("test_source", None, "JSON lines of the test split (default: --source is divided).")
_NAME = flags.DEFINE_string("name", None, "Name of a behaviour that comes from --source (default: as it is).")
_SKIP_BAD = flags.DEFINE_bool("skip_bad", False, "Leave out malformed lines of --source instead of stopping.")
_MODEL = flags.DEFINE_string("model", None, "Model whose tokenizer measures answers (default: words and digits count).")
_SEED = flags.DEFINE_integer("seed", 42, "Seed of every draw.", 0, MOST_SEED)
_OUT = flags.DEFINE_string("out", None, "Directory to write.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace files that are already in --out.")


def main(_: list[str]) -> None:
    """Make the splits of every behaviour, then write them."""
    out = folder(_OUT)
    from causeway.engine.analyses.prompts.catalogue import BEHAVIOURS, behaviour
    from causeway.engine.analyses.prompts.make import Templates, make_prompts, makes_itself

    named = _BEHAVIOURS.value
    if named == ["all"]:
        named = [name for name in BEHAVIOURS if makes_itself(name)]
    entries = {name: behaviour(name) for name in named}
    _check(out, named)
    pieces = _pieces()
    made = {}
    for name, entry in entries.items():
        sizes = _sizes(entry.sizes)
        made[_NAME.value or name] = (
            _from_source(name, sizes, pieces) if _SOURCE.value
            else make_prompts(name, sizes, _SEED.value, pieces, cast(Templates, _TEMPLATES.value))
        )  # fmt: skip
    _write(out, made)


def _write(out: Path, made) -> None:
    """All splits; none of an earlier draw stays beside them, for a group may be in its other split."""
    from causeway.engine.sweep import checksums, durable
    from causeway.ports.prompts.behaviour_prompts import write_prompts

    files = {f"{name}_{split}.jsonl": prompts for name, splits in made.items() for split, prompts in splits.items()}
    with checksums.written_alone(out, files):
        for file in files:
            durable.remove(out / file)
        for file, prompts in files.items():
            if prompts:
                write_prompts(out / file, prompts)
    for name, splits in made.items():
        counts = ", ".join(f"{len(prompts)} {split}" for split, prompts in splits.items())
        print(f"{name}: {counts} items of {len({p.group for s in splits.values() for p in s})} groups")
    print(f"everything is in {out}")


def _check(out: Path, named: list[str]) -> None:
    """Refuse flags that do not fit each other, and files that are there already."""
    from causeway.engine.analyses.prompts.make import reads_records
    from causeway.engine.analyses.prompts.own_prompts import check_file_name

    if not named:
        raise ValueError("--behaviours: got nothing; needs at least one")
    if _SOURCE.value and (len(named) != 1 or not reads_records(named[0])):
        got = ",".join(named)
        raise ValueError(f"--source: given for {got}; needs one of --behaviours=gsm8k, agreement_attractors or own")
    if (_TEST_SOURCE.value or _NAME.value) and not _SOURCE.value:
        raise ValueError("--test_source, --name: given without --source; give the file of the behaviour")
    if _SOURCE.value and _TEMPLATES.value == "documented":
        raise ValueError("--templates: got documented, but --source brings its own prompts; leave one out")
    check_file_name("--name", _NAME.value or "")
    names = [_NAME.value] if _NAME.value else named
    there = [name for n in names for s in ("train", "test") if (out / (name := f"{n}_{s}.jsonl")).exists()]
    if there and not _OVERWRITE.value:
        raise ValueError(f"--out: {out} holds {there[0]} already; give another directory or --overwrite")


def _sizes(usual):
    from causeway.engine.analyses.prompts.deal import Sizes

    train, test = _TRAIN.value, _TEST.value
    return Sizes(usual.train if train is None else train, usual.test if test is None else test)


def _pieces():
    from causeway.engine.analyses.prompts.answer_pieces import text_pieces, token_pieces

    if _MODEL.value is None:
        return text_pieces
    from causeway.ports.models.tokenizer_source import tokenizer_of

    return token_pieces(tokenizer_of(_MODEL.value))


def _from_source(name: str, sizes, pieces):
    from causeway.engine.analyses.prompts import own_prompts
    from causeway.engine.analyses.prompts.deal import Sizes
    from causeway.engine.analyses.prompts.make import candidate_reader, split_candidates
    from causeway.ports.files.jsonl import read_lines

    def candidates(path):
        read = read_lines(path, candidate_reader(name, pieces), _SKIP_BAD.value)
        tell(read.bad)
        return read.items

    train, test = candidates(_SOURCE.value), candidates(_TEST_SOURCE.value) if _TEST_SOURCE.value else []
    if name == own_prompts.NAME:
        sizes = Sizes.of_all(len(train) + len(test), _TRAIN.value, _TEST.value)
    return split_candidates(_NAME.value or name, train, test, sizes, _SEED.value, pieces)


if __name__ == "__main__":
    run_driver(main, sys.argv)
