"""The `compile` benchmark: the engine's programs at real sizes, compiled for a card that is not there (`--target`)."""

import time

from absl import flags

from causeway.drivers.flags import card_flag

FLAGS = flags.FLAGS


def device() -> str:
    """What figures are of."""
    return f"{card_flag.card().name}, compiled for and not run: bounds"


def run_compile() -> dict[str, float]:
    """Figures of each program of --programs, `PROGRAM.figure`."""
    target = card_flag.card()
    card_flag.without_device()
    from causeway.engine.bench.compile.programs import PROGRAMS
    from causeway.engine.bench.compile.report import compiled_for, copied, figures, largest

    if unknown := [name for name in FLAGS.programs if name not in PROGRAMS]:
        raise ValueError(f"--programs: got {unknown[0]!r}; needs some of {', '.join(PROGRAMS)}")
    found: dict[str, float] = {}
    for name in FLAGS.programs or PROGRAMS:
        build, all_layers = PROGRAMS[name]
        layers = min(FLAGS.compile_layers or all_layers, all_layers)
        workload, begun = build(layers), time.perf_counter()
        compiled = compiled_for(target, workload.function, workload.arguments)
        told = {"layers": float(layers), "compile_seconds": time.perf_counter() - begun}
        told |= figures(target, workload, compiled)
        told |= {f"kernel_gb {kind}": amount for kind, amount in largest(compiled, workload.trips).items()}
        told |= {f"copied_gb {path}": amount for path, amount in copied(compiled, workload.trips).items()}
        found |= {f"{name}.{figure}": value for figure, value in told.items()}
    return found
