"""The card that is not here, `--target`, and what makes this process compile for it.

XLA reads its settings when jax is first imported, so nothing here imports it before they are set.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from causeway.drivers.flags.flag_values import named, no_effect

if TYPE_CHECKING:
    from causeway.engine.analyses.patch_sweep.card_plan import Target
    from causeway.engine.bench.compile.cards import Card

FLAGS = flags.FLAGS
PLUGINS = ("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12")
# Without a device nothing can be tried out, so products go to the library that is chosen without trying.
XLA_FLAGS = "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false"


def card() -> Card:
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


def target(planned_for: Card | None) -> Target | None:
    """What a sweep is planned for, once jax may be imported."""
    from causeway.engine.analyses.patch_sweep.card_plan import Target

    return Target(planned_for, is_compiler_here()) if planned_for else None


def without_device() -> None:
    """Make this process compile for cards it does not have; before jax is imported.

    Raises:
        ValueError: XLA's compiler for them is not installed.
    """
    if not is_compiler_here():
        raise ValueError(
            "--target: needs XLA's compiler for GPUs, which is not installed; pip install 'causeway[cuda]' (3 GB; no "
            "GPU is needed)"
        )
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"], os.environ["CUDA_VISIBLE_DEVICES"] = "1", "-1"
    # What is kept of a compiled program cannot be read back without a device.
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {XLA_FLAGS}"


def is_compiler_here() -> bool:
    """Whether the extra `cuda` is installed."""
    return any(_installed(plugin) for plugin in PLUGINS)


def planned() -> Card | None:
    """The card that a sweep is planned for, None without --target; where the compiler is, it is made ready.

    Raises:
        ValueError: --target without --plan=abstract; or see `card`.
    """
    if FLAGS.plan != "abstract":
        no_effect("without --plan=abstract", "target")
    if FLAGS.target is None:
        return None
    found = card()
    if is_compiler_here():
        without_device()
    return found


def _installed(plugin: str) -> bool:
    try:
        return importlib.util.find_spec(plugin) is not None
    except ModuleNotFoundError:
        return False
