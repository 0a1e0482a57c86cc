"""Does changing these features change what the model answers? Interventions on transcoder features.

On one prompt (--prompt, --correct, --incorrect) or all of a file (--prompts, JSON lines as `prompts` writes them), for
features named by --edits or taken from the graphs of an `attribute` run (--graphs). Written to --workdir:
interventions.parquet, and for each behaviour {behaviour}/intervention_ablation_{behaviour}.csv and _summary.json
(intervention_patching_... for --operation=patch), feature_importance_layer_{layer}.csv with --importance,
generations.jsonl with --generate. With --held_out=0.5 half of the prompts choose features and the other half measures
them. Patches come from a line's counterfactual_prompt, or from another line. The same command resumes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ml_collections import config_flags

from causeway.drivers.flags import chat_flags, intervention_flags, model_flags, prompt_flags
from causeway.drivers.flags.config_values import take_values
from causeway.drivers.flags.flag_values import folder, named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.analyses.intervene.generation import ChangedTexts
    from causeway.engine.analyses.intervene.intervention_sweep import InterventionSweep
    from causeway.engine.prompt_record import PromptRecord

config_flags.DEFINE_config_file("config", None, "Values of flags; its section `intervene` is read.")
FLAGS = take(
    "importance min_active reading correction min_gap seed generate max_new_tokens as_published", temperature=0.0
)


def main(_: list[str]) -> None:
    """Gather prompts, run the sweep, write results and summaries."""
    take_values("intervene")
    workdir = folder("workdir")
    prompt_flags.check()
    if FLAGS.prompt and FLAGS.correct is None:
        raise ValueError("--correct, --incorrect: a prompt needs both answers, whose logits are compared")
    if FLAGS.prompt:
        no_effect("on one prompt", "importance", "held_out", "skip_bad")
    if not FLAGS.importance:
        no_effect("without --importance", "min_active", "reading")
    if not FLAGS.generate:
        no_effect("without --generate", "max_new_tokens", "temperature")
        if not FLAGS.held_out:
            no_effect("without --held_out or --generate", "seed")
    intervention_flags.check()
    from causeway.engine.analyses.intervene.generation import changed_texts
    from causeway.engine.model.sampling import Sampling
    from causeway.engine.sweep.durable import write_bytes
    from causeway.engine.sweep.job import run

    Sampling(FLAGS.temperature)
    sweep, records = _sweep()
    changed = changed_texts(sweep, FLAGS.max_new_tokens, FLAGS.temperature, FLAGS.seed) if FLAGS.generate else None
    if FLAGS.importance:
        sweep.check_importance()
    if run(sweep, workdir, repair=FLAGS.repair).stopped:
        sys.exit(prompt_flags.STOPPED)
    written = _generate(changed, workdir) if changed else b""
    with prompt_flags.alone(workdir):
        chat_flags.keep(workdir / chat_flags.RENDERED, records)
        for behaviour in dict.fromkeys(prompt.behaviour for prompt in sweep.prompts):
            _write(sweep, workdir, behaviour)
        if changed:
            write_bytes(workdir / "generations.jsonl", written)
    print(f"everything is in {workdir}")


def _sweep() -> tuple[InterventionSweep, list[PromptRecord]]:
    """What is computed, and its prompts as they are run."""
    from causeway.engine.analyses.intervene.intervention_sweep import InterventionSweep
    from causeway.engine.analyses.intervene.stored_graphs import StoredGraphs

    records = prompt_flags.read()
    place = FLAGS.graphs
    with named("graphs"):
        graphs = StoredGraphs.open(Path(place)) if place else None
    model_flags.dictionaries_named(transcoders=True)
    model = model_flags.load_model()
    settings = intervention_flags.settings(FLAGS.seed, model.config.num_layers)
    transcoders = model_flags.load_dictionaries(model, transcoders=True)
    records = prompt_flags.rendered(model, records)
    prompts = prompt_flags.prompts(model, records, [])
    return InterventionSweep(model, transcoders, prompts, settings, model_flags.parallel(), graphs), records


def _write(sweep: InterventionSweep, workdir: Path, behaviour: str) -> None:
    """The files of one behaviour."""
    from causeway.engine.analyses.intervene.intervention_summary import SummarySettings, effect_lines, summary_of
    from causeway.engine.analyses.intervene.results import results_of
    from causeway.engine.stats.multiple import Method
    from causeway.ports.results import intervention_files as files

    place = workdir / behaviour
    settings = SummarySettings(correction=cast(Method, FLAGS.correction), min_gap=FLAGS.min_gap)
    for family in files.FAMILIES:
        found = (
            result
            for index, rows in sweep.rows_of(workdir, behaviour, family)
            for result in results_of(sweep.model, sweep.prompts[index].tokens, rows, FLAGS.as_published)
        )
        summary = summary_of((rows for _, rows in sweep.rows_of(workdir, behaviour, family)), settings)
        if summary is None:
            continue
        path = files.write_results(place, behaviour, family, found)
        head = {"model": sweep.model.name, "behaviour": behaviour, "holds": sweep.settings.holds}
        written = files.write_summary(place, behaviour, family, head | summary)
        print(f"{behaviour}, {family}: {summary['prompts']} prompts, {sweep.settings.holds}; {path}, {written}")
        print("\n".join(effect_lines(summary)))
    if FLAGS.importance:
        importance, apart = sweep.importance(behaviour, FLAGS.reading)
        for path in files.write_importance(place, importance.result(FLAGS.min_active, FLAGS.correction, apart)):
            print(path)


def _generate(changed: ChangedTexts, workdir: Path) -> bytes:
    """The lines of generations.jsonl, from where an earlier run was stopped."""
    from causeway.engine.calls.continuations import texts

    if (found := texts(changed.wanted, workdir)) is None:
        sys.exit(prompt_flags.STOPPED)
    return "".join(json.dumps(line) + "\n" for line in changed.lines(found)).encode()


if __name__ == "__main__":
    run_driver(main, sys.argv)
