"""What does every neuron do through later attention heads? Second-order effects on directions, exactly, of all neurons.

Along --directions (a folder of `direction`), or along the difference of each prompt's right and wrong answers' logits.
Written to --workdir: neurons.parquet (every neuron: mean score with interval and q, the strongest first), heads.parquet
(the strongest neurons' scores by the head that they pass), layers.parquet (sums and mass by layer and order, biases
apart), second_order.json, and second_order.zarr with every prompt's scores. The same command resumes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import chat_flags, model_flags, neuron_flags, prompt_flags, prompt_records
from causeway.drivers.flags.flag_values import folder, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    import pyarrow as pa

    from causeway.engine.analyses.second_order.read_prompts import Scorable
    from causeway.engine.analyses.second_order.scores import ScoresJob
    from causeway.engine.model.handle import Model

FLAGS = take("behaviours splits directions orders position correction", heads=20)
HEADS = "heads"


def main(_: list[str]) -> None:
    """Gather prompts, score their neurons, write tables."""
    workdir = folder("workdir")
    no_effect("where the model alone is asked", "dictionaries", "gating")
    if not FLAGS.directions:
        no_effect("without --directions, where answers part", "position")
    from causeway.engine.analyses.second_order.results import result_tables
    from causeway.engine.prompt_record import check_pair
    from causeway.engine.sweep.job import run

    check = None if FLAGS.directions else check_pair
    records = prompt_records.read(check, behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    model = model_flags.load_model()
    listed = _scorable(model, prompt_records.rendered(model, records))
    job = _job(model, listed)
    if run(job, workdir, repair=FLAGS.repair).stopped:
        sys.exit(prompt_flags.STOPPED)
    neurons, layers = result_tables(job, workdir, FLAGS.correction)
    heads = _heads(job, workdir, neurons) if FLAGS.heads else None
    with prompt_flags.alone(workdir):
        chat_flags.keep(workdir / chat_flags.RENDERED, [prompt.record for prompt in listed])
        _write(job, workdir, listed, neurons, layers, heads)


def _scorable(model: Model, records: list) -> list[Scorable]:
    """Prompts with their tokens and the token that is read."""
    from causeway.engine.analyses.second_order.read_prompts import answered, placed

    if FLAGS.directions:
        return prompt_records.usable(records, lambda record: placed(model, record, FLAGS.position), "scored")
    return prompt_records.usable(records, lambda record: answered(model, record), "scored")


def _job(model: Model, listed: list[Scorable]) -> ScoresJob:
    from causeway.engine import scalars
    from causeway.engine.analyses.second_order.aims import aims_of
    from causeway.engine.analyses.second_order.read_prompts import read_prompts
    from causeway.engine.analyses.second_order.scores import ScoresJob

    contents = [prompt.record.content for prompt in listed]
    targets = [prompt.target for prompt in listed if prompt.target]
    directions = neuron_flags.directions(FLAGS.directions, model) if FLAGS.directions else targets
    count = model.config.num_layers
    layers = scalars.layers(model_flags.layers() or range(count), count, "--layers")
    if not 1 <= FLAGS.orders <= count:
        raise ValueError(f"--orders: got {FLAGS.orders}; needs 1 to {count}, the layers of {model.name}")
    return ScoresJob(
        model, read_prompts(listed), aims_of(model, contents, directions), layers, FLAGS.orders,
        parallel=model_flags.parallel(),
    )  # fmt: skip


def _write(
    job: ScoresJob, workdir: Path, listed: list[Scorable], neurons: pa.Table, layers: pa.Table, heads: pa.Table | None
) -> None:  # fmt: skip
    """Tables first, and what they say of all last."""
    from causeway.engine.analyses.second_order import results
    from causeway.engine.sweep.durable import write_bytes
    from causeway.engine.sweep.environment import environment
    from causeway.engine.sweep.table import write_table

    found = results.summary(job, workdir, layers)
    write_table(workdir / "layers.parquet", layers)
    if heads is not None:
        write_table(workdir / "heads.parquet", heads)
    write_table(workdir / "neurons.parquet", neurons)
    about = {
        "model": job.model.name, "model_fingerprint": job.model.fingerprint, "directions": found,
        "direction_source": FLAGS.directions or "answers", "prompts": len(listed), "layers": job.layers,
        "orders": job.orders, "ids": [prompt.record.id for prompt in listed], "environment": environment(),
    }  # fmt: skip
    write_bytes(workdir / "second_order.json", (json.dumps(about, indent=1) + "\n").encode())
    print("\n".join(results.lines(found, neurons)))
    print(f"everything is in {workdir}: neurons.parquet, heads.parquet, layers.parquet, second_order.json")


def _heads(job: ScoresJob, workdir: Path, neurons: pa.Table) -> pa.Table:
    """The strongest neurons' scores by head; a sweep of its own beside the scores."""
    from causeway.engine.analyses.second_order import tables
    from causeway.engine.analyses.second_order.heads import heads_of
    from causeway.engine.frozen.job import kept_array
    from causeway.engine.sweep.job import run

    split = heads_of(job, tables.strongest(neurons, FLAGS.heads))
    own = workdir / HEADS / split.plan.fingerprint[:12]
    if run(split, own, repair=FLAGS.repair).stopped:
        sys.exit(prompt_flags.STOPPED)
    parts = kept_array(split, own, "heads")
    return tables.head_table(split.neurons, job.aims.names, parts)


if __name__ == "__main__":
    run_driver(main, sys.argv)
