"""Show me what it can do, on this laptop, in a minute or two: on the bundled model, or with --model on another.

The bundled model plays a slot machine: it stops or bets, depending on its balance and on what happened last. The demo
asks which SAE features differ between calm and chasing states, sets each of the strongest to the value it has in the
other states, and reads off how the decision changes: exactly, and in sampled play. It follows these features to those
that drive them and to the words they add (audit, select and replay are left to the study configs/gambling_tiny.py).
Then it explains an addition and a sentence by attribution graphs, flips both answers, and tells what neurons do to sums
through later heads. On another model it asks which attention heads say the name in sentences about two people, and
draws where the answer is known.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.demo_circuits import show_circuits
from causeway.drivers.demo_gambling import show_gambling
from causeway.drivers.demo_heads import show_heads
from causeway.drivers.demo_neurons import show_neurons
from causeway.drivers.demo_sweeps import GROUPS, show_sweeps
from causeway.drivers.flags import model_flags
from causeway.drivers.flags.flag_values import folder, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from causeway.engine.dictionary.placement import Holder
    from causeway.engine.model.handle import Model
    from causeway.engine.tokenized_prompt import TokenizedPrompt

FLAGS = take("seed", workdir="causeway_demo", states=24, per_layer=15)


def main(_: list[str]) -> None:
    """The bundled model's demo, or that of any other."""
    started, workdir = time.monotonic(), folder("workdir")
    if FLAGS.model.startswith("bundled:"):
        _show_bundled(workdir)
        told = "screen.parquet, graphs/, pathways/, integrate/,\npathways.png, and in exact/ and sampled/ "
        told += "trials.parquet (every row),\neffects.parquet (every contrast), summary.json, plan.json"
    else:
        no_effect("on another model than the bundled one", "states", "per_layer", "dictionaries", "layers", "gating")
        show_heads(model_flags.load_model(), workdir, FLAGS.seed)
        told = "indirect_object.png"
    print(f"\n{time.monotonic() - started:.0f} s in all. Everything is in {workdir}: {told}")


def _show_bundled(workdir: Path) -> None:
    """Screen, patch with both outcomes, explain, report."""
    for name, least in (("states", 8), ("per_layer", 2)):
        if getattr(FLAGS, name) < least:
            raise ValueError(f"--{name}: got {getattr(FLAGS, name)}; needs a whole number >= {least}")
    from causeway.engine.analyses.patch_sweep.features import features_of
    from causeway.engine.tasks.played_states import labelled_records
    from causeway.engine.tasks.slot_states import labelled_prompts
    from causeway.engine.tokenized_prompt import tokenized

    model = model_flags.load_model()
    dictionary = model_flags.load_dictionaries(model)
    states = labelled_records(labelled_prompts(FLAGS.seed, FLAGS.states), "tiny")
    print(f"{model.name}: {model.config.num_layers} layers, {dictionary.num_features} features a layer")
    print(f"{len(states)} game states, matched on balance and round; the first of each group:")
    for state in states[:2]:
        print(f"  {state.group:<5} {state.text}")

    prompts = tuple(tokenized(model, state, number) for number, state in enumerate(states))
    table = _screen(model, dictionary, prompts, workdir)
    features = features_of(table, "q90", FLAGS.per_layer, None)
    print(f"\n{len(features.layer)} features differ most between the groups, {FLAGS.per_layer} of each layer; each is")
    print("set as high as in the top tenth of a group's states where it is active (the value q90)")
    show_sweeps(model, dictionary, prompts, features, workdir, FLAGS.seed)
    show_gambling(model, dictionary, states, workdir, FLAGS.seed)
    show_circuits(model, workdir / "graphs")
    show_neurons(model)


def _screen(model: Model, dictionary: Holder, prompts: Sequence[TokenizedPrompt], workdir: Path) -> pa.Table:
    """Which features differ between the groups."""
    from causeway.engine.analyses.screen.activations import group_sums
    from causeway.engine.analyses.screen.table import screen_table
    from causeway.engine.sweep.table import write_table

    table = screen_table(group_sums(model.transformer, dictionary, prompts, GROUPS))
    workdir.mkdir(parents=True, exist_ok=True)
    write_table(workdir / "screen.parquet", table)
    return table


if __name__ == "__main__":
    run_driver(main, sys.argv)
