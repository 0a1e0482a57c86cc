"""Along which direction does each neuron act through later attention, and on how few prompts?

Second-order effects of neurons on many prompts, and their principal components: the direction of the output space
that carries most of a neuron's effect, how much it explains on prompts held out (beside a random direction and a single
head), and how few prompts hold most of it. Written to --workdir: components_layer_{l}.npz (an input of `decompose`),
neurons.parquet (a row a neuron, most variance first), components.json, and components.zarr, from which effects follow.
The same command resumes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import chat_flags, model_flags, neuron_flags, npy_export, prompt_records
from causeway.drivers.flags.flag_values import folder, named, no_effect, numbers
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import PROCESSES, take

if TYPE_CHECKING:
    import numpy as np

    from causeway.drivers.flags.npy_export import Export
    from causeway.engine.analyses.components.code_sweep import CodeSweep
    from causeway.engine.frozen.batches import ReadPrompt
    from causeway.engine.model.handle import Model
    from causeway.engine.neurons import Neurons
    from causeway.engine.prompt_record import PromptRecord

# Exit status of a run that was stopped and can be resumed.
_STOPPED = 3
FLAGS = take(f"behaviours splits position largest held_out seed workdir repair disk_limits as_published {PROCESSES}")


def main(_: list[str]) -> None:
    """Read codes of all prompts, then find components layer by layer, and write them."""
    workdir, asked = folder("workdir"), _checked()
    from causeway.engine.analyses.components.components import check_chosen, chosen_prompts
    from causeway.engine.sweep.guard import DiskGuard
    from causeway.engine.sweep.job import run

    records = prompt_records.read(behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    model = model_flags.load_model()
    records = prompt_records.rendered(model, records)
    sweep, records = _sweep(model, records, _neurons(model, asked))
    chosen, how = chosen_prompts(records, FLAGS.held_out, FLAGS.seed)
    check_chosen(chosen, FLAGS.largest)
    limits = numbers("disk_limits", float)
    export = npy_export.prepare(sweep, limits)
    print(sweep.size)
    if run(sweep, workdir, guard=DiskGuard(workdir, limits[0], limits[1]), repair=FLAGS.repair).stopped:
        sys.exit(_STOPPED)
    _write(workdir, sweep, chosen, how, export)
    chat_flags.keep(workdir / chat_flags.RENDERED, records)
    print(f"everything is in {workdir}: neurons.parquet, components.json, components_layer_*.npz, components.zarr")


def _checked() -> Neurons | None:
    """The neurons of --neurons, after the checks that need no model."""
    no_effect("where the model alone is asked", "dictionaries", "gating")
    if bool(FLAGS.neurons) == bool(FLAGS.layers):
        raise ValueError("--neurons, --layers: needs one of them: some neurons, or layers (or all) with all of theirs")
    npy_export.check()
    if len(numbers("disk_limits", float)) != 2:
        raise ValueError("--disk_limits: needs two numbers, to warn at and to stop at")
    return neuron_flags.read()


def _neurons(model: Model, asked: Neurons | None) -> Neurons:
    """Those of --neurons, or of --layers, but for those of the last layer, which no attention reads."""
    from causeway.engine import scalars
    from causeway.engine.neurons import Neurons

    count = model.config.num_layers
    if asked is not None and count - 1 in asked.layers and (below := asked.below(count - 1)) is not None:
        print(f"{len(asked.of(count - 1))} neurons of layer {count - 1} are left out: no attention is above it")
        return below
    if asked is None:
        with named("layers"):
            layers = scalars.layers(model_flags.layers() or range(count - 1), count, "layer")
        asked = Neurons.all_of(model.config, layers)
        if FLAGS.layers == ["all"]:
            print(f"layer {count - 1} is left out: no attention is above it")
        asked = asked if FLAGS.limit_neurons is None else asked.first(FLAGS.limit_neurons)
    return asked


def _sweep(model: Model, records: list[PromptRecord], neurons: Neurons) -> tuple[CodeSweep, list[PromptRecord]]:
    """What is read of each prompt, and the prompts."""
    from causeway.engine.analyses.components.code_sweep import CodeSweep
    from causeway.engine.analyses.components.request import read_prompt

    def runnable(record: PromptRecord) -> tuple[ReadPrompt, PromptRecord]:
        return read_prompt(model, record, FLAGS.position), record

    found = prompt_records.usable(records, runnable, "read")
    with named("neurons" if FLAGS.neurons else "layers"):
        sweep = CodeSweep(model, tuple(read for read, _ in found), neurons, parallel=model_flags.parallel())
    return sweep, [record for _, record in found]


def _write(workdir: Path, sweep: CodeSweep, chosen: np.ndarray, how: str, export: Export | None) -> None:
    from causeway.engine.analyses.components import components, summary
    from causeway.engine.analyses.components.code_sweep import StoredCodes
    from causeway.engine.sweep.checksums import written_alone
    from causeway.ports.results import component_files

    codes, tables, layers = StoredCodes(sweep, workdir), [], sweep.neurons.layers
    with written_alone(workdir, component_files.names(layers)):
        for found in components.found_layers(sweep, codes, chosen, FLAGS.largest):
            component_files.write_layer(workdir, found.components)
            tables.append(found.table)
            if export is not None:
                export.write(codes, found, FLAGS.largest)
        table = components.all_neurons(tables)
        about = summary.about(sweep, table, chosen, how, {"position": FLAGS.position, "largest": FLAGS.largest})
        component_files.write_neurons(workdir, table)
        published = summary.as_published(table, chosen, FLAGS.largest) if FLAGS.as_published else None
        component_files.write_as_published(workdir, published)
        component_files.write_about(workdir, sweep.model.fingerprint, layers, about)
    print("\n".join(summary.lines(about)))


if __name__ == "__main__":
    run_driver(main, sys.argv)
