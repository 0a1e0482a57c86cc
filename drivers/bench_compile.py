"""The `compile` benchmark: the engine's programs at real sizes, compiled for a card that is not there (`--target`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from absl import flags

from causeway.drivers.flags import card_flag

if TYPE_CHECKING:
    from causeway.engine.bench.compile.cards import Card
    from causeway.engine.bench.compile.workload import Workload

FLAGS = flags.FLAGS


def device() -> str:
    """What figures are of."""
    return f"{card_flag.card().name}, compiled for and not run: bounds"


def run_compile() -> dict[str, float]:
    """Figures of each program of --programs, `PROGRAM.figure`."""
    target = card_flag.card()
    card_flag.without_device()
    from causeway.engine.bench.compile.pathway_stage import pathway_stage
    from causeway.engine.bench.compile.programs import PROGRAMS, STAGES
    from causeway.engine.bench.compile.workload import LLAMA_LAYERS

    known = (*PROGRAMS, *STAGES)
    if unknown := [name for name in FLAGS.programs if name not in known]:
        raise ValueError(f"--programs: got {unknown[0]!r}; needs some of {', '.join(known)}")
    found: dict[str, float] = {}
    for name in FLAGS.programs or PROGRAMS:
        if name in STAGES:
            layers = min(FLAGS.compile_layers or LLAMA_LAYERS, LLAMA_LAYERS)
            told = {"layers": float(layers), **pathway_stage(target, layers, STAGES[name])}
        else:
            told = _program(target, *PROGRAMS[name])
        found |= {f"{name}.{figure}": value for figure, value in told.items()}
    return found


def _program(target: Card, build: Callable[[int], Workload], all_layers: int) -> dict[str, float]:
    """Figures of one program."""
    from causeway.engine.bench.compile.report import compiled_for, copied, figures, largest

    layers = min(FLAGS.compile_layers or all_layers, all_layers)
    workload, begun = build(layers), time.perf_counter()
    compiled = compiled_for(target, workload.function, workload.arguments)
    told = {"layers": float(layers), "compile_seconds": time.perf_counter() - begun}
    told |= figures(target, workload, compiled)
    told |= {f"kernel_gb {kind}": amount for kind, amount in largest(compiled, workload.trips).items()}
    return told | {f"copied_gb {path}": amount for path, amount in copied(compiled, workload.trips).items()}
