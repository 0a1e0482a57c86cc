"""The benchmarks of `causeway bench`, one entry each: what it measures, the flags it reads, and what runs it.

A further one is one more entry of BENCHMARKS. jax is imported when one runs and not before: the driver sets what jax
reads on import.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import cast

from absl import flags

from causeway.drivers import bench_compile
from causeway.drivers.flags.flag_values import named, no_effect

FLAGS = flags.FLAGS
Figures = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One entry.

    Attributes:
        measures: what, and how long it takes.
        reads: names of the flags it reads, between spaces, beside --threads and --json.
        run: gives its figures by name, in the units their names say.
        all_threads: whether it has threads of its own, so that one is used only where --threads says so.
        device: what its figures are of, where that is not the device that jax finds.
    """

    measures: str
    reads: str
    run: Callable[[], Figures]
    all_threads: bool = False
    device: Callable[[], str] | None = None


def _patch_sweep() -> Figures:
    from causeway.engine.bench.patch_sweep import measure
    from causeway.engine.bench.reference import Shape
    from causeway.engine.devices import local_parallel
    from causeway.engine.model.config import Precision

    shape = Shape(rows=FLAGS.batch_rows, layers=FLAGS.bench_layers, compute=cast(Precision, FLAGS.compute))
    return measure(shape, local_parallel(1), FLAGS.repeats)


def _load() -> Figures:
    from causeway.drivers.bench_load import run_load, run_load_of

    if FLAGS.model:
        no_effect("with --model", "load_layers")
        return run_load_of(FLAGS.model, FLAGS.repeats)
    return run_load(FLAGS.load_layers, FLAGS.repeats)


def _attribute() -> Figures:
    from causeway.engine.bench.attribute import GraphShape, measure_attribution

    return measure_attribution(GraphShape(tokens=FLAGS.tokens or 32, nodes=FLAGS.nodes), FLAGS.repeats, FLAGS.all_rows)


def _run() -> Figures:
    from causeway.engine.bench.run import RunShape, measure_run
    from causeway.ports.models.torch_logits import batch_seconds

    shape = RunShape()
    figures = measure_run(shape, FLAGS.repeats)
    seconds = batch_seconds(shape.config, shape.make_prompts(), FLAGS.repeats, FLAGS.threads)
    if seconds is None:
        return figures
    return figures | {"torch_batch_cpu_seconds": seconds, "run_over_torch": figures["run_cpu_seconds"] / seconds}


def _heads() -> Figures:
    from causeway.engine.bench.heads import HeadsShape, measure_heads
    from causeway.ports.models.load import load_model

    with named("model"):
        model = load_model(FLAGS.model or "bundled:tiny")
    return measure_heads(HeadsShape(FLAGS.num_prompts, FLAGS.tokens or 16), model, FLAGS.repeats, FLAGS.all_tokens)


def _of_tokens(module: str, shape: str, measure: str, tokens: int) -> Figures:
    """A benchmark on prompts of --tokens."""
    found = import_module(f"causeway.engine.bench.{module}")
    return cast(Figures, getattr(found, measure)(getattr(found, shape)(tokens=FLAGS.tokens or tokens), FLAGS.repeats))


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType({
    "patch_sweep": Benchmark(
        "rollouts and exact answers a second, with and without recordings (a minute or two)",
        "repeats batch_rows bench_layers compute", _patch_sweep,
    ),
    "load": Benchmark(
        "files of Llama-3.1-8B's width to arrays, against a plain read of them (writes 2.5 GB to /tmp);\n"
        "with --model that model, a GGUF file also against the gguf library's dequantising",
        "repeats load_layers model", _load, all_threads=True,
    ),
    "attribute": Benchmark(
        "one attribution graph, from tokens to edges (half a minute)", "repeats tokens nodes all_rows", _attribute,
    ),
    "intervene": Benchmark(
        "1,000 interventions on one prompt, against as many passes (half a minute)", "repeats tokens",
        partial(_of_tokens, "intervene", "GraphShape", "measure_interventions", 32),
    ),
    "run": Benchmark(
        "64 different prompts in one call, against one padded batch, and torch where it is (a minute)", "repeats", _run,
    ),
    "heads": Benchmark(
        "every head of --model ablated alone on 100 prompts, at the last token (some seconds; of SmolLM2-135M\n"
        "three minutes)",
        "repeats tokens model num_prompts all_tokens", _heads,
    ),
    "second_order": Benchmark(
        "effects of all neurons through one later head, against the public code's method (a minute)", "repeats tokens",
        partial(_of_tokens, "second_order", "SecondOrderShape", "measure_second_order", 64),
    ),
    "pathways": Benchmark(
        "gradients of features by all features below them, against an autograd call each (some minutes)",
        "repeats tokens", partial(_of_tokens, "pathways", "PathwaysShape", "measure_pathways", 64),
    ),
    "compile": Benchmark(
        "nothing is run: programs at real sizes, compiled for the card of --target, their memory, traffic and bounds\n"
        "of time, from the extra `cuda` without a GPU (some minutes, 10 GB; --compile_layers=2: one)",
        "target programs compile_layers", bench_compile.run_compile, True, bench_compile.device,
    ),
})  # fmt: skip


def listing() -> str:
    """The benchmarks by name, one or two lines each."""
    width = max(map(len, BENCHMARKS)) + 2
    return "\n".join(
        f"    {name:<{width}}" + f"\n{'':{width + 4}}".join(benchmark.measures.split("\n"))
        for name, benchmark in BENCHMARKS.items()
    )
