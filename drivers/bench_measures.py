"""What each benchmark runs, by the flags; jax is imported when one runs and not before (see `bench_table`)."""

import os
from importlib import import_module
from typing import cast

from absl import flags

from causeway.drivers.flags.flag_values import named, no_effect

FLAGS = flags.FLAGS
Figures = dict[str, float]


def patch_sweep() -> Figures:
    """Rollouts and exact answers of the reference shape."""
    from causeway.engine.bench.patch_sweep import measure
    from causeway.engine.bench.reference import Shape
    from causeway.engine.devices import local_parallel
    from causeway.engine.model.config import Precision

    shape = Shape(rows=FLAGS.batch_rows, layers=FLAGS.bench_layers, compute=cast(Precision, FLAGS.compute))
    return measure(shape, local_parallel(FLAGS.devices or 1), FLAGS.repeats)


def load() -> Figures:
    """Files that are written, or those of --model."""
    from causeway.drivers.bench_load import run_load, run_load_of

    if FLAGS.model:
        no_effect("with --model", "load_layers")
        return run_load_of(FLAGS.model, FLAGS.repeats)
    return run_load(FLAGS.load_layers, FLAGS.repeats)


def attribute() -> Figures:
    """One graph."""
    from causeway.engine.bench.attribute import GraphShape, measure_attribution

    return measure_attribution(GraphShape(tokens=FLAGS.tokens or 32, nodes=FLAGS.nodes), FLAGS.repeats, FLAGS.all_rows)


def run() -> Figures:
    """Different prompts in one call; torch beside it where it is installed."""
    from causeway.engine.bench.run import RunShape, measure_run
    from causeway.ports.models.torch_logits import batch_seconds

    shape = RunShape()
    figures = measure_run(shape, FLAGS.repeats)
    seconds = batch_seconds(shape.config, shape.make_prompts(), FLAGS.repeats, FLAGS.threads)
    if seconds is None:
        return figures
    return figures | {"torch_batch_cpu_seconds": seconds, "run_over_torch": figures["run_cpu_seconds"] / seconds}


def heads() -> Figures:
    """Every head of --model."""
    from causeway.engine.bench.heads import HeadsShape, measure_heads
    from causeway.ports.models.load import load_model

    with named("model"):
        model = load_model(FLAGS.model or "bundled:tiny")
    return measure_heads(HeadsShape(FLAGS.num_prompts, FLAGS.tokens or 16), model, FLAGS.repeats, FLAGS.all_tokens)


def of_tokens(module: str, shape: str, measure: str, tokens: int) -> Figures:
    """A benchmark on prompts of --tokens."""
    found = import_module(f"causeway.engine.bench.{module}")
    return cast(Figures, getattr(found, measure)(getattr(found, shape)(tokens=FLAGS.tokens or tokens), FLAGS.repeats))


def kernels() -> Figures:
    """Of every operation, what this device runs."""
    from causeway.engine.bench.kernels import measure_kernels

    return measure_kernels(FLAGS.repeats)


def rates() -> Figures:
    """Of the device."""
    from causeway.engine.bench.rates import measure_rates

    return measure_rates()


def this_device(threads: int) -> str:
    """The device that jax finds, of a CPU with the threads used (0: all)."""
    import jax

    first = jax.devices()[0]
    return first.device_kind if first.platform != "cpu" else f"cpu, {threads or os.cpu_count()} threads"
