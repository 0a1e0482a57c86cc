"""The `all` benchmark: every benchmark of reasonable length, each in a process of its own.

So peaks of memory are each one's, nothing that one leaves on a device is in another's way, and one that fails does not
take the others with it: it leaves the figure NAME.failed.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from absl import flags

if TYPE_CHECKING:
    from causeway.drivers.bench_table import Benchmark

FLAGS = flags.FLAGS


def run_all(table: Mapping[str, "Benchmark"]) -> dict[str, float]:
    """Figures of those benchmarks of the table that belong to `all`, `NAME.figure`.

    Raises:
        ValueError: one of --programs is none of them.
    """
    benchmarks = {name: one for name, one in table.items() if one.all_flags is not None}
    if unknown := [name for name in FLAGS.programs if name not in benchmarks]:
        raise ValueError(f"--programs: got {unknown[0]!r}; needs some of {', '.join(benchmarks)}")
    found: dict[str, float] = {}
    for name in FLAGS.programs or benchmarks:
        print(f"causeway bench: {name}", file=sys.stderr)
        figures = _figures(name, benchmarks[name])
        found |= {f"{name}.{figure}": value for figure, value in figures.items()}
    return found


def _figures(name: str, benchmark: "Benchmark") -> dict[str, float]:
    """Of one benchmark, run by the command that a person would type."""
    command = [sys.executable, "-P", "-m", "causeway.drivers.main", "bench", name, "--json"]
    command += (benchmark.all_flags or "").split()
    reads = ("threads", *benchmark.reads.split())
    passed = [flag for flag in ("threads", "repeats") if FLAGS[flag].present and flag in reads]
    command += [f"--{flag}={getattr(FLAGS, flag)}" for flag in passed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
        print(f"causeway bench: {name} failed: {said}", file=sys.stderr)
        return {"failed": 1.0}
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])["figures"]
    return figures
