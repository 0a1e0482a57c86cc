"""Does changing these features change what the model answers? Interventions on transcoder features.

On one prompt (--prompt, --correct, --incorrect) or all of a file (--prompts, JSON lines as `prompts` writes them), for
features named by --features or taken from the graphs of an `attribute` run (--graphs). Written to --workdir:
interventions.parquet, and for each behaviour {behaviour}/intervention_ablation_{behaviour}.csv and _summary.json
(intervention_patching_... for --operation=patch), feature_importance_layer_{layer}.csv with --importance,
generations.jsonl with --generate. With --held_out=0.5 half of the prompts choose features and the other half measures
them. Patches come from a line's counterfactual_prompt, or from another line. The same command resumes.
"""

import json
import sys
from pathlib import Path
from typing import cast

from absl import flags
from ml_collections import config_flags

from causeway.drivers.flags import intervention_flags, model_flags, prompt_flags
from causeway.drivers.flags.config_values import take_values
from causeway.drivers.flags.flag_values import MOST_SEED, folder
from causeway.drivers.flags.refusals import run_driver

_CONFIG = config_flags.DEFINE_config_file("config", None, "Values of flags; its section `intervene` is read.")
_IMPORTANCE = flags.DEFINE_bool("importance", False, "Correlate all features with the logit difference over prompts.")
_ACTIVE = flags.DEFINE_integer("min_active", 5, "Prompts a feature must be active on to be tested.", lower_bound=1)
_READING = flags.DEFINE_enum("reading", "max", ["max", "last"], "A feature's activation on a prompt, for --importance.")
_CORRECTION = flags.DEFINE_enum("correction", "bh", ["bh", "by"], "Control of false discoveries; by: any dependence.")
_GAP = flags.DEFINE_float("min_gap", 0.1, "Smallest |clean - corrupt| of which a recovery is a share.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 456, "Seed of generation and of what is held out.", 0, MOST_SEED)
_GENERATE = flags.DEFINE_integer("generate", 0, "Continue each prompt by so many tokens under it.", lower_bound=0)
_TEMPERATURE = flags.DEFINE_float("temperature", 0.0, "Of generation; 0 takes the most probable token.", lower_bound=0)
_DOCUMENTED = flags.DEFINE_bool("documented", False, "Also give the documented relative effect, effect / |baseline|.")


def main(_: list[str]) -> None:
    """Gather prompts, run the sweep, write results and summaries."""
    if _CONFIG.value:
        if "intervene" not in _CONFIG.value:
            raise ValueError("--config: has no section `intervene`; needs one that names flags of this driver")
        take_values(_CONFIG.value.intervene, "intervene")
    workdir = folder(prompt_flags.WORKDIR)
    prompt_flags.check()
    if prompt_flags.PROMPT.value and prompt_flags.CORRECT.value is None:
        raise ValueError("--correct, --incorrect: a prompt needs both answers, whose logits are compared")
    intervention_flags.check()
    from causeway.engine.analyses.intervene.generation import changed_texts
    from causeway.engine.model.sampling import Sampling
    from causeway.engine.sweep import run
    from causeway.engine.sweep.durable import write_bytes

    Sampling(_TEMPERATURE.value)
    sweep = _sweep()
    changed = changed_texts(sweep, _GENERATE.value, _TEMPERATURE.value, _SEED.value) if _GENERATE.value else None
    if _IMPORTANCE.value:
        sweep.check_importance()
    if run(sweep, workdir, repair=prompt_flags.REPAIR.value).stopped:
        sys.exit(prompt_flags.STOPPED)
    written = _generate(changed, workdir) if changed else b""
    with prompt_flags.alone(workdir):
        for behaviour in dict.fromkeys(prompt.behaviour for prompt in sweep.prompts):
            _write(sweep, workdir, behaviour)
        if changed:
            write_bytes(workdir / "generations.jsonl", written)
    print(f"everything is in {workdir}")


def _sweep():
    from causeway.engine.analyses.intervene.intervention_sweep import InterventionSweep
    from causeway.engine.analyses.intervene.stored_graphs import StoredGraphs

    lines, bad = prompt_flags.read()
    place = intervention_flags.GRAPHS.value
    graphs, settings = StoredGraphs.open(Path(place)) if place else None, intervention_flags.settings(_SEED.value)
    model = model_flags.load_model()
    transcoders = model_flags.load_dictionaries(model, transcoders=True)
    prompts = prompt_flags.prompts(model, lines, bad, [])
    return InterventionSweep(model, transcoders, prompts, settings, model_flags.parallel(), graphs)


def _write(sweep, workdir: Path, behaviour: str) -> None:
    """The files of one behaviour."""
    from causeway.engine.analyses.intervene.effect_lines import effect_lines
    from causeway.engine.analyses.intervene.intervention_summary import SummarySettings, summary_of
    from causeway.engine.analyses.intervene.results import results_of
    from causeway.engine.stats.multiple import Method
    from causeway.ports.results import intervention_files as files

    place = workdir / behaviour
    settings = SummarySettings(correction=cast(Method, _CORRECTION.value), min_gap=_GAP.value)
    for family in files.FAMILIES:
        found = (
            result
            for index, rows in sweep.rows_of(workdir, behaviour, family)
            for result in results_of(sweep.model, sweep.prompts[index].tokens, rows, _DOCUMENTED.value)
        )
        summary = summary_of((rows for _, rows in sweep.rows_of(workdir, behaviour, family)), settings)
        if summary is None:
            continue
        path = files.write_results(place, behaviour, family, found)
        head = {"model": sweep.model.name, "behaviour": behaviour, "mode": sweep.settings.mode}
        written = files.write_summary(place, behaviour, family, head | summary)
        print(f"{behaviour}, {family}: {summary['prompts']} prompts, {sweep.settings.mode}; {path}, {written}")
        print("\n".join(effect_lines(summary)))
    if _IMPORTANCE.value:
        found, held = sweep.importance(behaviour, _READING.value)
        for path in files.write_importance(place, found.result(_ACTIVE.value, _CORRECTION.value, held)):
            print(path)


def _generate(changed, workdir: Path) -> bytes:
    """The lines of generations.jsonl, from where an earlier run was stopped."""
    from causeway.engine.calls.continuations import texts

    if (found := texts(changed.wanted, workdir)) is None:
        sys.exit(prompt_flags.STOPPED)
    return "".join(json.dumps(line) + "\n" for line in changed.lines(found)).encode()


if __name__ == "__main__":
    run_driver(main, sys.argv)
