"""Show me everything on the bundled model, on this laptop, in a few minutes.

The bundled model plays a slot machine: it stops or bets, depending on its balance and on what happened last. The demo
asks which SAE features differ between calm and chasing states, sets each of the strongest to the value it has in the
other states, and reads off how the decision changes: exactly, and in sampled play. Then it explains an addition and a
sentence by attribution graphs, and flips both answers.
"""

import dataclasses
import sys
import time
from pathlib import Path

from absl import app, flags

from causeway.drivers import model_flags
from causeway.drivers.demo_circuits import show_circuits
from causeway.drivers.flag_values import MOST_SEED, folder
from causeway.drivers.refusals import run_driver

_WORKDIR = flags.DEFINE_string("workdir", "causeway_demo", "Where everything is written; the same command resumes.")
_PROMPTS = flags.DEFINE_integer("prompts", 24, "Game states of each group.", lower_bound=8)
_PER_LAYER = flags.DEFINE_integer("per_layer", 50, "Features of each layer to patch.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of states and draws.", 0, MOST_SEED)

GROUPS = ("safe", "risky")
SAMPLED_PROMPTS, TRIALS, NEW_TOKENS = 8, 4, 8


def main(argv: list[str]) -> None:
    """Screen, patch with both outcomes, report."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    started, workdir = time.monotonic(), folder(_WORKDIR)
    from causeway.engine.patching.features import features_of
    from causeway.engine.tasks.slot_states import labelled_prompts

    model = model_flags.load_model()
    dictionary = model_flags.load_dictionaries(model)
    states = labelled_prompts(_SEED.value, _PROMPTS.value)
    print(f"{model.name}: {model.config.num_layers} layers, {dictionary.num_features} features a layer")
    print(f"{len(states)} game states, matched on balance and round; the first of each group:")
    for state in states[:2]:
        print(f"  {state.group:<5} {state.text}")

    table = _screen(model, dictionary, states, workdir)
    features = features_of(table, "q90", _PER_LAYER.value, None)
    print(f"\n{len(features.layer)} features differ most; each is set as high as in a group's top tenth of states")
    for outcome in ("exact", "sampled"):
        sweep = _sweep(model, dictionary, states, features, outcome)
        _run(sweep, workdir / outcome, f"{outcome} outcome: {len(sweep.rows) * len(sweep.prompts):,} trials")
    show_circuits(model, workdir / "graphs")
    print(f"\n{time.monotonic() - started:.0f} s in all. Everything is in {workdir}: screen.parquet, graphs/, and")
    print("for each outcome trials.parquet (every trial), effects.parquet (every contrast), summary.json, plan.json")


def _screen(model, dictionary, states, workdir: Path):
    """Which features differ between the groups."""
    import pyarrow.parquet as pq

    from causeway.engine.screen.activations import LabelledTokens, group_sums
    from causeway.engine.screen.table import screen_table

    prompts = [LabelledTokens(tuple(model.tokens(state.text)), state.group) for state in states]
    table = screen_table(group_sums(model.transformer, dictionary, prompts, GROUPS))
    workdir.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, workdir / "screen.parquet")
    return table


def _sweep(model, dictionary, states, features, outcome: str):
    """The six conditions of the study with the controls that make them mean something."""
    from causeway.engine.model.sampling import Sampling
    from causeway.engine.outcome.answers import Answer
    from causeway.engine.patching.design import SweepPrompt, arm_names
    from causeway.engine.patching.sweep import PatchSweep, SweepSettings
    from causeway.engine.tasks.slot_decisions import menu_answers

    exact = outcome == "exact"
    prompts = []
    for index, state in enumerate(states if exact else states[: 2 * SAMPLED_PROMPTS]):
        answers = (Answer(" stop", "stop"), Answer(" bet", "bet")) if exact else menu_answers(state.game.menu)
        tokens, continued = model.tokens(state.text), model.answer_tokens(state.text, [a.text for a in answers])
        ids = tuple(tuple(c) for c in continued)
        prompts.append(SweepPrompt(index, state.group, state.text, tuple(tokens), tuple(answers), ids))
    kinds = ("baseline", "noop", "patch", "ablate", "random", "dose") if exact else ("baseline", "patch")
    settings = SweepSettings(
        "exact" if exact else "sampled", arm_names(kinds, GROUPS), rows=256, unit_buckets=16, seed=_SEED.value
    )
    if not exact:
        sampling = Sampling(temperature=1.0, stop_tokens=model.stop_ids)
        settings = dataclasses.replace(settings, trials=TRIALS, segments=(NEW_TOKENS,), sampling=sampling)
    return PatchSweep(model, dictionary, tuple(prompts), features, settings, model_flags.parallel())


def _run(sweep, workdir: Path, title: str) -> None:
    """Run or resume a sweep and print what it found."""
    from causeway.engine.patching import run, summary
    from causeway.engine.patching.effects import EffectSettings

    print(f"\n{title}", flush=True)
    if run.run(sweep, workdir).stopped:
        raise SystemExit(3)
    print("\n".join(summary.lines(run.finish(workdir, EffectSettings(values=GROUPS)), shown=5)))


if __name__ == "__main__":
    run_driver(main, sys.argv)
