"""Can the model do a behaviour clearly enough to look inside? Log probabilities of right and wrong answers.

Prompts come from the files of `prompts`, or any of the same form. Written to --out: baseline_{behaviour}_{split}.csv (a
line a prompt), baseline_groups_{behaviour}_{split}.csv, baseline_metrics_{split}.json and figures/baseline_*.png.
What --generate has the model write is kept in generated-*/ meanwhile, so the same command goes on where it was stopped.
"""

import sys
from pathlib import Path

from absl import flags

from causeway.drivers.flags import model_flags
from causeway.drivers.flags.flag_values import folder
from causeway.drivers.flags.left_out import tell, usable
from causeway.drivers.flags.refusals import run_driver

_PROMPTS = flags.DEFINE_list("prompts", [], "Files of prompts, or one folder of {behaviour}_{split}.jsonl files.")
_BEHAVIOURS = flags.DEFINE_list("behaviours", [], "Behaviours evaluated (default: all in --prompts).")
_SPLIT = flags.DEFINE_list("split", [], "Splits evaluated, such as train,test (default: all in --prompts).")
_MIN_SCORE_DIFF = flags.DEFINE_float("min_score_diff", None, "Margin of a success, nats a token (default: its own).")
_SUCCESS = flags.DEFINE_float(
    "success_threshold", None, "Share of margin successes to pass (default: the behaviour's).", 0.0, 1.0
)
_BY = flags.DEFINE_list("by", ["group"], "Fields whose values get rates of their own: group, number, template, ...")
_GENERATE = flags.DEFINE_bool("generate", False, "Also generate, and compare the number written with final_answer.")
_MAX_NEW = flags.DEFINE_integer("max_new_tokens", 16, "Tokens generated; reasoning takes hundreds.", lower_bound=1)
_SKIP_BAD = flags.DEFINE_bool("skip_bad", False, "Leave out malformed lines and prompts that cannot be scored.")
_ROWS = flags.DEFINE_integer("rows", 16, "Rows of a pass, per device.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "Directory to write.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a baseline that is already in --out.")


def main(_: list[str]) -> None:
    """Read prompts, score them all, write."""
    out = folder(_OUT)
    sets = _prompt_sets()
    _check(out, sets)
    from causeway.engine.analyses.evaluate.teacher_forcing import answer_pair

    model, parallel = model_flags.load_model(), model_flags.parallel()
    read = {key: _usable(model, items, answer_pair) for key, items in sets.items()}
    # First, because it refuses prompts without a final answer.
    written = {key: _written(out, model, items) for key, (items, _) in read.items()}
    scored = {key: _score(model, parallel, *parts, written[key]) for key, parts in read.items()}
    _write(out, model, scored)


def _prompt_sets() -> dict[tuple[str, str], list]:
    """The prompts of every (behaviour, split), with line numbers checked."""
    from causeway.engine.analyses.prompts.own_prompts import prompt_of
    from causeway.ports.prompts.prompt_sets import read_sets

    if not _PROMPTS.value:
        raise ValueError("--prompts: got nothing; needs files of prompts, or a folder of them")
    sets, bad = read_sets(_PROMPTS.value, prompt_of, _BEHAVIOURS.value, _SPLIT.value, _SKIP_BAD.value)
    tell(bad)
    return sets


def _criterion(name: str):
    from causeway.engine.analyses.prompts.catalogue import criterion_of

    return criterion_of(name).changed(_MIN_SCORE_DIFF.value, _SUCCESS.value)


def _check(out: Path, sets) -> None:
    """Refuse a baseline that is there already, files of one name, a margin that is no number, fields of no prompt."""
    from causeway.ports.results.baseline_files import metrics_path, names

    names(sets)
    there = [path for _, split in sets if (path := metrics_path(out, split)).exists()]
    if there and not _OVERWRITE.value:
        raise ValueError(f"--out: {there[0]} is there already; give another directory or --overwrite")
    for name, _ in sets:
        _criterion(name)
    fields = {"group"}.union(*(item.fields for items in sets.values() for item in items))
    if absent := [field for field in _BY.value if field not in fields]:
        raise ValueError(f"--by: no prompt has a field {absent[0]!r}; they have {', '.join(sorted(fields))}")


def _usable(model, items, answer_pair) -> tuple[list, list]:
    """Prompts with their tokens; one that cannot be scored, or comes again, is not."""
    first: dict[tuple[str, str, str], str] = {}

    def pair(item):
        if same := first.get(key := (item.prompt, item.correct, item.incorrect)):
            raise ValueError(f"{item.id}: has the prompt and answers of {same}; each counts once")
        first[key] = item.id
        return answer_pair(model, item)

    return usable(items, pair, _SKIP_BAD.value, "scored")


def _written(out: Path, model, items):
    """What the model writes, from where an earlier run was stopped; None without --generate."""
    if not _GENERATE.value:
        return None
    from causeway.engine.analyses.evaluate.final_answers import generation_of, scored
    from causeway.engine.calls.continuations import texts

    if (found := texts(generation_of(model, items, _MAX_NEW.value), out)) is None:
        sys.exit(3)  # stopped; the same command goes on
    return scored(items, found)


def _score(model, parallel, items, pairs, written):
    from causeway.engine.analyses.evaluate.baseline import scores_of
    from causeway.engine.analyses.evaluate.teacher_forcing import answer_log_probabilities

    found = answer_log_probabilities(model.transformer, pairs, rows=_ROWS.value, parallel=parallel)
    return scores_of(items, pairs, found, written)


def _write(out: Path, model, scored) -> None:
    from causeway.engine.sweep.checksums import written_alone
    from causeway.ports.results import baseline_files as files

    with written_alone(out, files.names(scored)):
        _write_files(out, model, scored)
    print(f"everything is in {out}")


def _write_files(out: Path, model, scored) -> None:
    from causeway.engine.analyses.evaluate.baseline import by_value, line, metrics, row_of
    from causeway.engine.sweep import durable
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results import baseline_files as files

    for split in {split for _, split in scored}:
        durable.remove(files.metrics_path(out, split))
    found: dict[str, dict] = {}
    for (name, split), scores in scored.items():
        criterion = _criterion(name)
        files.write_table(files.table_path(out, name, split), [row_of(s, criterion) for s in scores])
        groups = files.table_path(out, name, split, "groups")
        durable.remove(groups)
        if by := [row for field in _BY.value for row in by_value(scores, field, criterion)]:
            files.write_table(groups, by)
        found.setdefault(split, {})[name] = measured = metrics(scores, criterion)
        files.draw_differences(out, name, split, [s.normalised_difference for s in scores], measured)
        print(line(name, split, measured))
    about = {"model": model.name, "model_fingerprint": model.fingerprint, "environment": environment()}
    for split, measured in found.items():
        files.draw_rates(out, split, measured)
        files.write_metrics(out, split, {"behaviours": measured, **about})


if __name__ == "__main__":
    run_driver(main, sys.argv)
