"""Can the model do a behaviour clearly enough to look inside? Log probabilities of right and wrong answers.

Prompts come from the files of `prompts`, or any of the same form. Written to --out: baseline_{behaviour}_{split}.csv (a
line a prompt), baseline_groups_{behaviour}_{split}.csv, baseline_metrics_{split}.json and figures/baseline_*.png.
What --generate has the model write is kept in generated-*/ meanwhile, so the same command goes on where it was stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import chat_flags, model_flags, prompt_records, reading_flags
from causeway.drivers.flags.flag_values import absent, folder, named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import PROCESSES, take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from causeway.engine.analyses.evaluate.baseline import Score
    from causeway.engine.analyses.evaluate.final_answers import Generated
    from causeway.engine.analyses.prompts.catalogue import Criterion
    from causeway.engine.devices import RowParallel
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord
    from causeway.engine.tokenized_prompt import TokenizedPrompt

    Scored = dict[tuple[str, str], list[Score]]

FLAGS = take(
    f"behaviours splits min_score_diff success_threshold by generate max_new_tokens out overwrite {PROCESSES}",
    batch_rows=16,
)


def main(_: list[str]) -> None:
    """Read prompts, score them all, write."""
    out = folder("out")
    no_effect("where the model alone is asked", "dictionaries", "layers", "gating")
    if not FLAGS.generate:
        no_effect("without --generate", "max_new_tokens")
    from causeway.engine.prompt_record import check_pair
    from causeway.engine.sweep.checksums import written_alone
    from causeway.ports.prompts.prompt_files import by_set
    from causeway.ports.results.baseline_files import names, prompts_path

    records = prompt_records.read(check_pair, behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    _check(out, by_set(records))
    model, parallel = model_flags.load_model(), model_flags.parallel()
    sets = by_set(prompt_records.rendered(model, records))
    read = {key: prompt_records.scorable(model, items, "scored") for key, items in sets.items()}
    # First, because it refuses prompts without a final answer.
    written = {key: _written(out, model, prompts) for key, prompts in read.items()}
    scored = {key: _score(model, parallel, prompts, written[key], "_".join(key)) for key, prompts in read.items()}
    with written_alone(out, names(scored)):
        for key, prompts in read.items():
            reading_flags.claim(out, "_".join(key))
            chat_flags.keep(prompts_path(out, *key), [prompt.record for prompt in prompts])
        _write(out, model, scored)
    print(f"everything is in {out}")


def _criterion(name: str) -> Criterion:
    from causeway.engine.analyses.prompts.catalogue import criterion_of

    return criterion_of(name).changed(FLAGS.min_score_diff, FLAGS.success_threshold)


def _check(out: Path, sets: Mapping[tuple[str, str], list[PromptRecord]]) -> None:
    """Refuse a baseline that is there already, files of one name, a margin that is no number, fields of no prompt."""
    from causeway.ports.results.baseline_files import metrics_path, names

    names(sets)
    absent(metrics_path(out, key[1]) for key in sets if not reading_flags.claimed(out, "_".join(key)))
    for name, _ in sets:
        _criterion(name)
    fields = {"group"}.union(*(item.fields for items in sets.values() for item in items))
    if unknown := [field for field in FLAGS.by if field not in fields]:
        raise ValueError(f"--by: no prompt has a field {unknown[0]!r}; they have {', '.join(sorted(fields))}")


def _written(out: Path, model: Model, prompts: list[TokenizedPrompt]) -> list[Generated] | None:
    """What the model writes, from where an earlier run was stopped; None without --generate."""
    if not FLAGS.generate:
        return None
    from causeway.engine.analyses.evaluate.final_answers import generation_of, scored
    from causeway.engine.calls.continuations import texts

    items = [prompt.record for prompt in prompts]
    with named("generate"):
        wanted = generation_of(model, items, FLAGS.max_new_tokens)
    if (found := texts(wanted, out)) is None:
        sys.exit(3)
    return scored(items, found)


def _score(
    model: Model, parallel: RowParallel, prompts: list[TokenizedPrompt], written: list[Generated] | None, name: str
) -> list[Score]:  # fmt: skip
    from causeway.engine.analyses.evaluate.baseline import scores_of
    from causeway.engine.analyses.evaluate.teacher_forcing import answer_log_probabilities

    kept = reading_flags.kept(model, name)
    found = answer_log_probabilities(model.transformer, prompts, rows=FLAGS.batch_rows, parallel=parallel, kept=kept)
    return scores_of(prompts, found, written)


def _write(out: Path, model: Model, scored: Scored) -> None:
    from causeway.engine.analyses.evaluate.baseline import by_value, line, metrics, row_of
    from causeway.engine.sweep import durable
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results import baseline_figures as figures
    from causeway.ports.results import baseline_files as files

    for split in {split for _, split in scored}:
        durable.remove(files.metrics_path(out, split))
    found: dict[str, dict] = {}
    for (name, split), scores in scored.items():
        criterion = _criterion(name)
        files.write_table(files.table_path(out, name, split), [row_of(s, criterion) for s in scores])
        groups = files.table_path(out, name, split, "groups")
        durable.remove(groups)
        if by := [row for field in FLAGS.by for row in by_value(scores, field, criterion)]:
            files.write_table(groups, by)
        found.setdefault(split, {})[name] = measured = metrics(scores, criterion)
        figures.draw_differences(out, name, split, [s.normalised_difference for s in scores], measured)
        print(line(name, split, measured))
    about = {"model": model.name, "model_fingerprint": model.fingerprint, "environment": environment()}
    for split, measured in found.items():
        figures.draw_rates(out, split, measured)
        files.write_metrics(out, split, {"behaviours": measured, **about})


if __name__ == "__main__":
    run_driver(main, sys.argv)
