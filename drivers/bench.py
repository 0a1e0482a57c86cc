"""How fast is it, and how far from the floor?

`causeway bench NAME` runs one of these, on models with random weights of published shapes:

    patch_sweep   rollouts and exact answers a second, with and without recordings (a minute or two)
    load          files of Llama-3.1-8B's width to arrays, against a plain read of them (writes 2.5 GB to /tmp)
    attribute     one attribution graph, from tokens to edges (half a minute)
    intervene     1,000 interventions on one prompt, against as many passes (half a minute)
    run           64 different prompts in one call, against one padded batch, and torch where it is (a minute)
"""

import json
import os
import sys
from importlib.metadata import version
from typing import cast

from absl import flags

from causeway.drivers.flags.help import suggestion
from causeway.drivers.flags.refusals import run_driver

_THREADS = flags.DEFINE_integer("threads", 1, "CPU threads to use (0: all); figures are meant for one.", lower_bound=0)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object instead of a table.")
_ROWS = flags.DEFINE_integer("rows", 128, "Row bucket.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 2, "Timed repetitions.", lower_bound=1)
_LAYERS = flags.DEFINE_integer("bench_layers", 8, "Layers of the random model (the reference has 8).", lower_bound=1)
_LOAD_LAYERS = flags.DEFINE_integer(
    "load_layers", 2, "Layers of the files that `load` writes (2: 1.4 GB of model, 1.1 GB of SAEs).", lower_bound=1
)
_COMPUTE = flags.DEFINE_enum("compute", "float32", ["float32", "bfloat16"], "Dtype of products.")
_ALL_ROWS = flags.DEFINE_bool("all_rows", True, "attribute: also time a graph with a row for every active feature.")
_TOKENS = flags.DEFINE_integer("tokens", 32, "attribute: tokens of the prompt.", lower_bound=2)
_NODES = flags.DEFINE_integer("nodes", 2048, "attribute: node budget.", lower_bound=1)


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
    # Loading has threads of its own, so one core is only what was asked for.
    threads = _THREADS.value if names[0] != "load" or _THREADS.present else 0
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
    print(json.dumps(result) if _JSON.value else _table(result))


def _patch_sweep() -> dict[str, float]:
    from causeway.engine.bench.patch_sweep import measure
    from causeway.engine.bench.reference import Shape
    from causeway.engine.devices import local_parallel
    from causeway.engine.model.config import Precision

    shape = Shape(rows=_ROWS.value, layers=_LAYERS.value, compute=cast(Precision, _COMPUTE.value))
    return measure(shape, local_parallel(1), _REPEATS.value)


def _load() -> dict[str, float]:
    from causeway.drivers.bench_load import run_load

    return run_load(_LOAD_LAYERS.value, _REPEATS.value)


def _attribute() -> dict[str, float]:
    from causeway.engine.bench.attribute import GraphShape, measure_attribution

    return measure_attribution(GraphShape(tokens=_TOKENS.value, nodes=_NODES.value), _REPEATS.value, _ALL_ROWS.value)


def _intervene() -> dict[str, float]:
    from causeway.engine.bench.attribute import GraphShape
    from causeway.engine.bench.intervene import measure_interventions

    return measure_interventions(GraphShape(tokens=_TOKENS.value), _REPEATS.value)


def _run() -> dict[str, float]:
    from causeway.engine.bench.run import RunShape, measure_run
    from causeway.ports.models.torch_logits import batch_seconds

    shape = RunShape()
    figures = measure_run(shape, _REPEATS.value)
    seconds = batch_seconds(shape.config, shape.make_prompts(), _REPEATS.value, _THREADS.value)
    if seconds is None:
        return figures
    return figures | {"torch_batch_cpu_seconds": seconds, "run_over_torch": figures["run_cpu_seconds"] / seconds}


BENCHMARKS = {
    "patch_sweep": _patch_sweep, "load": _load, "attribute": _attribute, "intervene": _intervene, "run": _run,
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
