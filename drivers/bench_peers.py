"""The `peers` benchmark: the work of the reference shapes here, and by what else people do it with.

hf                rollouts with a feature set and all features recorded, by transformers' generate with forward
                  hooks, one at a time and batched
circuit_tracer    an attribution graph, by that library, in the Python of --peer_python
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from absl import flags

FLAGS = flags.FLAGS


def run_peers() -> dict[str, float]:
    """Figures of each side, and how many times faster ours is."""
    return _graphs() | _rollouts()


def _rollouts() -> dict[str, float]:
    from causeway.engine.bench.patch_sweep import measure
    from causeway.engine.bench.reference import Shape
    from causeway.engine.devices import local_parallel
    from causeway.ports.models.torch_logits import require_torch
    from causeway.ports.models.torch_trials import HookedTrials

    require_torch("peers")
    shape, hf = Shape(rows=FLAGS.batch_rows), {}
    hooked = HookedTrials(shape.config, shape.features, shape.prompt, shape.tokens, FLAGS.threads)
    for name, width in (("one_at_a_time", 1), ("batched", shape.rows)):
        hf[name] = hooked.rate(width, FLAGS.repeats)
    ours = measure(shape, local_parallel(1), FLAGS.repeats)["trials_per_cpu_second_all_features"]
    figures = {"trials_per_cpu_second": ours} | {f"hf_trials_per_cpu_second_{name}": hf[name] for name in hf}
    return figures | {f"speedup_over_hf_{name}": ours / rate for name, rate in hf.items()}


def _graphs() -> dict[str, float]:
    """Nothing without --peer_python, which is said."""
    if FLAGS.peer_python is None:
        print(
            "causeway bench: peers: circuit-tracer is left out; --peer_python names a Python that has it",
            file=sys.stderr,
        )
        return {}
    from causeway.engine.bench.attribute import GraphShape, measure_attribution
    from causeway.ports.models import circuit_tracer_graph

    shape = GraphShape()
    about = {"threshold": shape.threshold, "repeats": FLAGS.repeats, "threads": FLAGS.threads}
    given = json.dumps(dataclasses.asdict(shape) | about)
    command = [FLAGS.peer_python, str(Path(circuit_tracer_graph.__file__)), given]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ValueError(f"--peer_python: got {FLAGS.peer_python}, which does not start ({error.strerror})") from error
    if done.returncode:
        said = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
        raise ValueError(f"--peer_python: circuit-tracer failed in {FLAGS.peer_python}: {said}")
    theirs = json.loads(done.stdout.splitlines()[-1])
    ours = measure_attribution(shape, FLAGS.repeats, False)
    return {
        "graph_cpu_seconds": ours["cpu_seconds"], "circuit_tracer_cpu_seconds": theirs["seconds"],
        "active_features": ours["active_features"], "circuit_tracer_active_features": theirs["active_features"],
        "speedup_over_circuit_tracer": theirs["seconds"] / ours["cpu_seconds"],
    }  # fmt: skip
