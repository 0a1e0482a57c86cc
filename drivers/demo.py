"""Show me everything on the bundled model, on this laptop, in a minute or two.

The bundled model plays a slot machine: it stops or bets, depending on its balance and on what happened last. The demo
asks which SAE features differ between calm and chasing states, sets each of the strongest to the value it has in the
other states, and reads off how the decision changes: exactly, and in sampled play. Then it explains an addition and a
sentence by attribution graphs, and flips both answers.
"""

import sys
import time
from pathlib import Path

from absl import flags

from causeway.drivers.demo_circuits import show_circuits
from causeway.drivers.demo_sweeps import GROUPS, show_sweeps
from causeway.drivers.flags import model_flags
from causeway.drivers.flags.flag_values import MOST_SEED, folder
from causeway.drivers.flags.refusals import run_driver

_WORKDIR = flags.DEFINE_string("workdir", "causeway_demo", "Where everything is written; the same command resumes.")
_PROMPTS = flags.DEFINE_integer("prompts", 24, "Game states of each group.", lower_bound=8)
_PER_LAYER = flags.DEFINE_integer("per_layer", 15, "Features of each layer to patch.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of states and draws.", 0, MOST_SEED)


def main(_: list[str]) -> None:
    """Screen, patch with both outcomes, explain, report."""
    started, workdir = time.monotonic(), folder(_WORKDIR)
    from causeway.engine.analyses.patch_sweep.features import features_of
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
    print(f"\n{len(features.layer)} features differ most between the groups, {_PER_LAYER.value} of each layer; each is")
    print("set as high as in the top tenth of a group's states where it is active (the value q90)")
    show_sweeps(model, dictionary, states, features, workdir, _SEED.value)
    show_circuits(model, workdir / "graphs")
    print(f"\n{time.monotonic() - started:.0f} s in all. Everything is in {workdir}: screen.parquet, graphs/, and in")
    print("exact/ and sampled/ trials.parquet (every row), effects.parquet (every contrast), summary.json, plan.json")


def _screen(model, dictionary, states, workdir: Path):
    """Which features differ between the groups."""
    import pyarrow.parquet as pq

    from causeway.engine.analyses.screen.activations import LabelledTokens, group_sums
    from causeway.engine.analyses.screen.table import screen_table
    from causeway.engine.sweep.durable import replacing

    prompts = [LabelledTokens(tuple(model.tokens(state.text)), state.group) for state in states]
    table = screen_table(group_sums(model.transformer, dictionary, prompts, GROUPS))
    workdir.mkdir(parents=True, exist_ok=True)
    with replacing(workdir / "screen.parquet") as path:
        pq.write_table(table, path)
    return table


if __name__ == "__main__":
    run_driver(main, sys.argv)
