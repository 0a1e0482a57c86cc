"""How fast is it, and how far from the floor?

`causeway bench NAME` runs one of these, on models with random weights of published shapes, and `heads` on --model (the
bundled one):
"""

import json
import os
import sys
from importlib.metadata import version

from causeway.drivers.bench_compare import run_compare
from causeway.drivers.bench_measures import this_device
from causeway.drivers.bench_table import BENCHMARKS, listing
from causeway.drivers.flags.flag_values import no_effect
from causeway.drivers.flags.help import suggestion
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

__doc__ = f"""{__doc__}
{listing()}

`causeway bench compare OLD.json NEW.json` holds two results of --json against each other; figures that got worse by
more than --worse_by end it with status 1.
"""

FLAGS = take(
    "threads devices json repeats bench_layers load_layers compute all_rows tokens nodes num_prompts all_tokens "
    "programs compile_layers worse_by peer_python", batch_rows=128, model="", card="h200",
)  # fmt: skip


def main(argv: list[str]) -> None:
    """Run one benchmark; without a name, list them."""
    names = argv[1:]
    if not names:
        print((__doc__ or "").strip())
        return
    if names[0] == "compare":
        run_compare(names[1:])
        return
    if len(names) != 1 or names[0] not in BENCHMARKS:
        near = suggestion(names[0], BENCHMARKS) if len(names) == 1 else ""
        hint = f" (did you mean {near}?)" if near else ""
        raise ValueError(f"got {' '.join(names)}{hint}; needs one benchmark: {', '.join(BENCHMARKS)}")
    benchmark = BENCHMARKS[names[0]]
    others = {name for one in BENCHMARKS.values() for name in one.reads.split()} - set(benchmark.reads.split())
    no_effect(f"on {names[0]}", *sorted(others))
    threads = 0 if benchmark.all_threads and not FLAGS["threads"].present else FLAGS.threads
    _pin(threads, FLAGS.devices or 1)
    figures = benchmark.run()
    result = {
        "benchmark": names[0],
        "device": benchmark.device() if benchmark.device else this_device(threads),
        "versions": {name: version(name) for name in ("causeway", "jax", "jaxlib", "flax", "numpy")},
        "figures": figures,
    }
    print(json.dumps(result) if FLAGS.json else _table(result))


def _pin(threads: int, devices: int) -> None:
    """Keep the process to some CPU cores for each device; XLA reads all of it when jax is first imported."""
    if threads and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads * devices :])
    asked = f" --xla_force_host_platform_device_count={devices}" if devices > 1 else ""
    if threads == 1:
        asked += " --xla_cpu_multi_thread_eigen=false"
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + asked


def _table(result: dict) -> str:
    """A line a figure; those of several programs or benchmarks, PROGRAM.figure, below a line of theirs."""
    width, lines, above = max(map(len, result["figures"])), [], ""
    for name, value in result["figures"].items():
        group, _, figure = name.partition(".") if "." in name else ("", "", name)
        lines += [f"{group}:"] if group != above else []
        lines, above = [*lines, f"  {figure:<{width}}  {value:12.4g}"], group
    versions = " ".join(f"{name} {version}" for name, version in result["versions"].items())
    return "\n".join([f"{result['benchmark']} on {result['device']}, {versions}", *lines])


if __name__ == "__main__":
    run_driver(main, sys.argv)
