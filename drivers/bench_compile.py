"""The `compile` benchmark: the engine's programs at real sizes, compiled for a card that is not there (`--target`).

XLA reads its settings when jax is first imported, so nothing here imports it before they are set.
"""

import importlib.util
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from causeway.drivers.flags.flag_values import named

if TYPE_CHECKING:
    from causeway.engine.bench.compile.cards import Card

FLAGS = flags.FLAGS
PLUGINS = ("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12")
# Without a device nothing can be tried out, so products go to the library that is chosen without trying.
XLA_FLAGS = "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false"


def card() -> "Card":
    """The card of --target.

    Raises:
        ValueError: an unknown name, or a file that describes none.
    """
    from causeway.engine.bench.compile.cards import CARDS, DESCRIBE, described
    from causeway.ports.files.config_fields import read_json

    if FLAGS.target in CARDS:
        return CARDS[FLAGS.target]
    if not Path(FLAGS.target).is_file():
        raise ValueError(f"--target: got {FLAGS.target!r}, no card and no file; needs {', '.join(CARDS)}, {DESCRIBE}")
    with named("target"):
        return described(read_json(Path(FLAGS.target)))


def without_device() -> None:
    """Make this process compile for cards it does not have; before jax is imported.

    Raises:
        ValueError: XLA's compiler for them is not installed.
    """
    if not any(_installed(plugin) for plugin in PLUGINS):
        raise ValueError(
            "--target: needs XLA's compiler for GPUs, which is not installed; pip install 'causeway[cuda]' (3 GB; no "
            "GPU is needed)"
        )
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"], os.environ["CUDA_VISIBLE_DEVICES"] = "1", "-1"
    # What is kept of a compiled program cannot be read back without a device.
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {XLA_FLAGS}"


def _installed(plugin: str) -> bool:
    try:
        return importlib.util.find_spec(plugin) is not None
    except ModuleNotFoundError:
        return False


def device() -> str:
    """What figures are of."""
    return f"{card().name}, compiled for and not run: bounds"


def run_compile() -> dict[str, float]:
    """Figures of each program of --programs, `PROGRAM.figure`."""
    target = card()
    without_device()
    from causeway.engine.bench.compile.programs import PROGRAMS
    from causeway.engine.bench.compile.report import compiled_for, copied, figures

    if unknown := [name for name in FLAGS.programs if name not in PROGRAMS]:
        raise ValueError(f"--programs: got {unknown[0]!r}; needs some of {', '.join(PROGRAMS)}")
    found: dict[str, float] = {}
    for name in FLAGS.programs or PROGRAMS:
        build, all_layers = PROGRAMS[name]
        layers = min(FLAGS.compile_layers or all_layers, all_layers)
        workload, begun = build(layers), time.perf_counter()
        compiled = compiled_for(target, workload)
        told = {"layers": float(layers), "compile_seconds": time.perf_counter() - begun}
        told |= figures(target, workload, compiled)
        told |= {f"copied_gb {path}": amount for path, amount in copied(compiled, workload.trips).items()}
        found |= {f"{name}.{figure}": value for figure, value in told.items()}
    return found
