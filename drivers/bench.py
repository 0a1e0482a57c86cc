"""How fast is it, and how far from the floor?

`causeway bench NAME` runs one of these, on models with random weights of published shapes, and `heads` on --model (the
bundled one):

    patch_sweep   rollouts and exact answers a second, with and without recordings (a minute or two)
    load          files of Llama-3.1-8B's width to arrays, against a plain read of them (writes 2.5 GB to /tmp);
                  with --model that model, a GGUF file also against the gguf library's dequantising
    attribute     one attribution graph, from tokens to edges (half a minute)
    intervene     1,000 interventions on one prompt, against as many passes (half a minute)
    run           64 different prompts in one call, against one padded batch, and torch where it is (a minute)
    heads         every head of --model ablated alone on 100 prompts, at the last token (some seconds; of SmolLM2-135M
                  three minutes)
    second_order  effects of all neurons through one later head, against the public code's method (a minute)
    pathways      gradients of features by all features below them, against an autograd call each (some minutes)
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import cast

from causeway.drivers.flags.flag_values import named, no_effect
from causeway.drivers.flags.help import suggestion
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

FLAGS = take(
    "threads json repeats bench_layers load_layers compute all_rows tokens nodes num_prompts all_tokens",
    batch_rows=128, model="",
)  # fmt: skip


def main(argv: list[str]) -> None:
    """Run one benchmark; without a name, list them."""
    names = argv[1:]
    if not names:
        print((__doc__ or "").strip())
        return
    if len(names) != 1 or names[0] not in BENCHMARKS:
        near = suggestion(names[0], BENCHMARKS) if len(names) == 1 else ""
        hint = f" (did you mean {near}?)" if near else ""
        raise ValueError(f"got {' '.join(names)}{hint}; needs one benchmark: {', '.join(BENCHMARKS)}")
    used = USED[names[0]].split()
    no_effect(f"on {names[0]}", *(name for told in USED.values() for name in told.split() if name not in used))
    # Loading has threads of its own, so one core is only what was asked for.
    threads = FLAGS.threads if names[0] != "load" or FLAGS["threads"].present else 0
    _pin(threads)
    figures = BENCHMARKS[names[0]]()
    import jax

    device = jax.devices()[0]
    result = {
        "benchmark": names[0],
        "device": device.device_kind if device.platform != "cpu" else f"cpu, {threads or os.cpu_count()} threads",
        "versions": {name: version(name) for name in ("causeway", "jax", "jaxlib", "flax", "numpy")},
        "figures": figures,
    }
    print(json.dumps(result) if FLAGS.json else _table(result))


def _patch_sweep() -> dict[str, float]:
    from causeway.engine.bench.patch_sweep import measure
    from causeway.engine.bench.reference import Shape
    from causeway.engine.devices import local_parallel
    from causeway.engine.model.config import Precision

    shape = Shape(rows=FLAGS.batch_rows, layers=FLAGS.bench_layers, compute=cast(Precision, FLAGS.compute))
    return measure(shape, local_parallel(1), FLAGS.repeats)


def _load() -> dict[str, float]:
    from causeway.drivers.bench_load import run_load, run_load_of

    if FLAGS.model:
        no_effect("with --model", "load_layers")
        return run_load_of(FLAGS.model, FLAGS.repeats)
    return run_load(FLAGS.load_layers, FLAGS.repeats)


def _attribute() -> dict[str, float]:
    from causeway.engine.bench.attribute import GraphShape, measure_attribution

    return measure_attribution(GraphShape(tokens=FLAGS.tokens or 32, nodes=FLAGS.nodes), FLAGS.repeats, FLAGS.all_rows)


def _run() -> dict[str, float]:
    from causeway.engine.bench.run import RunShape, measure_run
    from causeway.ports.models.torch_logits import batch_seconds

    shape = RunShape()
    figures = measure_run(shape, FLAGS.repeats)
    seconds = batch_seconds(shape.config, shape.make_prompts(), FLAGS.repeats, FLAGS.threads)
    if seconds is None:
        return figures
    return figures | {"torch_batch_cpu_seconds": seconds, "run_over_torch": figures["run_cpu_seconds"] / seconds}


def _heads() -> dict[str, float]:
    from causeway.engine.bench.heads import HeadsShape, measure_heads
    from causeway.ports.models.load import load_model

    with named("model"):
        model = load_model(FLAGS.model or "bundled:tiny")
    return measure_heads(HeadsShape(FLAGS.num_prompts, FLAGS.tokens or 16), model, FLAGS.repeats, FLAGS.all_tokens)


def _of_tokens(module: str, shape: str, measure: str, tokens: int) -> dict[str, float]:
    """A benchmark on prompts of --tokens, imported when it is run."""
    found = import_module(f"causeway.engine.bench.{module}")
    return getattr(found, measure)(getattr(found, shape)(tokens=FLAGS.tokens or tokens), FLAGS.repeats)


BENCHMARKS: dict[str, Callable[[], dict[str, float]]] = {
    "patch_sweep": _patch_sweep, "load": _load, "attribute": _attribute, "run": _run, "heads": _heads,
    "intervene": partial(_of_tokens, "intervene", "GraphShape", "measure_interventions", 32),
    "second_order": partial(_of_tokens, "second_order", "SecondOrderShape", "measure_second_order", 64),
    "pathways": partial(_of_tokens, "pathways", "PathwaysShape", "measure_pathways", 64),
}  # fmt: skip

# Flags that some of them read.
USED = {
    "patch_sweep": "repeats batch_rows bench_layers compute", "load": "repeats load_layers model",
    "attribute": "repeats tokens nodes all_rows", "intervene": "repeats tokens", "run": "repeats",
    "heads": "repeats tokens model num_prompts all_tokens", "second_order": "repeats tokens",
    "pathways": "repeats tokens",
}  # fmt: skip


def _pin(threads: int) -> None:
    """Keep the process to some CPU cores; XLA reads both when jax is first imported."""
    if threads and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    if threads == 1:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"


def _table(result: dict) -> str:
    width = max(map(len, result["figures"]))
    lines = [f"  {name:<{width}}  {value:12.4g}" for name, value in result["figures"].items()]
    versions = " ".join(f"{name} {version}" for name, version in result["versions"].items())
    return "\n".join([f"{result['benchmark']} on {result['device']}, {versions}", *lines])


if __name__ == "__main__":
    run_driver(main, sys.argv)
