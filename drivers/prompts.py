"""Prompts with a right and a wrong answer, in train and test splits that share no noun, fact or operand pair.

Written to --out: {behaviour}_{split}.jsonl for each of --behaviours. With --source the prompts of one behaviour come
from a file: GSM8K problems, minimal pairs of agreement, or prompts of one's own.

Behaviours that need no file (--behaviours=all): grammar_agreement, factual_recall, sentiment_continuation, arithmetic,
synthetic_arithmetic, synthetic_logic, agreement_attractors, indirect_objects, slot_machine, slot_machine_study,
slot_published (the study's two), bundled_TASK. From --source: gsm8k, agreement_attractors, own. --model names the one
whose tokenizer measures answers (default: words and digits count).
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from causeway.drivers.flags.flag_values import absent, folder, named, no_effect
from causeway.drivers.flags.left_out import tell
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from causeway.engine.analyses.prompts.answer_pieces import Pieces
    from causeway.engine.analyses.prompts.deal import Sizes
    from causeway.engine.analyses.prompts.prompt import Candidate
    from causeway.engine.prompt_record import PromptRecord

FLAGS = take(
    "templates train test source test_source name skip_bad seed out overwrite",
    behaviours=["grammar_agreement", "factual_recall", "sentiment_continuation", "arithmetic"],
    model=None,
)


def main(_: list[str]) -> None:
    """Make the splits of every behaviour, then write them."""
    out = folder("out")
    from causeway.engine.analyses.prompts.catalogue import BEHAVIOURS, behaviour
    from causeway.engine.analyses.prompts.make import Templates, make_prompts, makes_itself

    named = FLAGS.behaviours
    if named == ["all"]:
        named = [name for name in BEHAVIOURS if makes_itself(name)]
    entries = {name: behaviour(name) for name in named}
    _check(out, named)
    pieces = _pieces()
    made = {}
    for name, entry in entries.items():
        sizes = _sizes(entry.sizes)
        made[FLAGS.name or name] = (
            _from_source(name, sizes, pieces) if FLAGS.source
            else make_prompts(name, sizes, FLAGS.seed, pieces, cast(Templates, FLAGS.templates))
        )  # fmt: skip
    _write(out, made)


def _write(out: Path, made: Mapping[str, dict[str, list[PromptRecord]]]) -> None:
    """All splits; none of an earlier draw stays beside them, for a group may be in its other split."""
    from causeway.engine.sweep import checksums, durable
    from causeway.ports.prompts.prompt_files import write_prompts

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
    from causeway.engine.prompt_record import check_file_name

    if not named:
        raise ValueError("--behaviours: got nothing; needs at least one")
    if FLAGS.source and (len(named) != 1 or not reads_records(named[0])):
        got = ",".join(named)
        raise ValueError(f"--source: given for {got}; needs one of --behaviours=gsm8k, agreement_attractors or own")
    if (FLAGS.test_source or FLAGS.name) and not FLAGS.source:
        raise ValueError("--test_source, --name: given without --source; give the file of the behaviour")
    if not FLAGS.source:
        no_effect("without --source", "skip_bad")
    if FLAGS.source and FLAGS.templates == "as_published":
        raise ValueError("--templates: got as_published, but --source brings its own prompts; leave one out")
    check_file_name("--name", FLAGS.name or "")
    names = [FLAGS.name] if FLAGS.name else named
    absent(out / f"{name}_{split}.jsonl" for name in names for split in ("train", "test"))


def _sizes(usual: Sizes) -> Sizes:
    train, test = FLAGS.train, FLAGS.test
    return dataclasses.replace(
        usual, train=usual.train if train is None else train, test=usual.test if test is None else test
    )


def _pieces() -> Pieces:
    from causeway.engine.analyses.prompts.answer_pieces import text_pieces, token_pieces

    if FLAGS.model is None:
        return text_pieces
    from causeway.ports.models.tokenizer import tokenizer_of

    with named("model"):
        return token_pieces(tokenizer_of(FLAGS.model))


def _from_source(name: str, sizes: Sizes, pieces: Pieces) -> dict[str, list[PromptRecord]]:
    from causeway.engine.analyses.prompts import own_prompts
    from causeway.engine.analyses.prompts.deal import Sizes
    from causeway.engine.analyses.prompts.make import candidate_reader, split_candidates
    from causeway.ports.files.jsonl import read_lines

    def candidates(path: str) -> list[Candidate]:
        read = read_lines(path, candidate_reader(name, pieces), FLAGS.skip_bad)
        tell(read.bad)
        return read.items

    train, test = candidates(FLAGS.source), candidates(FLAGS.test_source) if FLAGS.test_source else []
    if name == own_prompts.NAME:
        sizes = Sizes.of_all(len(train) + len(test), FLAGS.train, FLAGS.test)
    return split_candidates(FLAGS.name or name, train, test, sizes, FLAGS.seed, pieces)


if __name__ == "__main__":
    run_driver(main, sys.argv)
