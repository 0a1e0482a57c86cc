"""Programs compiled before they are needed, beside what runs meanwhile.

For a GPU the decode step of 32 layers compiles in a minute or two, once a segment length, and what the programs of all
segments look like is known when the first starts. So all are compiled at once: Python traces them one after the other
in a thread, in the order in which they are needed, and XLA, which holds no lock of Python's, compiles them in others.
JAX finds what was compiled so when the program is called with arguments of those shapes: nothing is compiled twice. A
program that turns out not to be needed takes the host's time alone, and is on disk for the next run.

On a CPU the cores that compile are those that run, and rows that all stop early need no later programs: nothing is
compiled ahead there.
"""

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from causeway.engine.devices import RowParallel

# Programs that are compiled at once: each takes some gigabytes of the host's memory.
_AT_ONCE = 4
_tracing, _compiling = ThreadPoolExecutor(1), ThreadPoolExecutor(_AT_ONCE)
_STARTED: dict[Hashable, Future[Any]] = {}
_emptied: list[None] = []
# Traced once, and again only when jax's tables were emptied (`jax.clear_caches`), and with them what was started.
_tables = jax.jit(lambda: _emptied.append(None))


def pays(parallel: RowParallel) -> bool:
    """Whether programs are compiled ahead: where the host is free while devices run, and shapes tell all placings."""
    return parallel.devices[0].platform != "cpu" and parallel.mode == "shard_map" and parallel.model == 1


def compile_ahead(program: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Start compiling a jitted program for arguments of these shapes, once; wait for it before it is called.

    Args:
        arguments: trees of arrays, or of shapes with shardings (`jax.ShapeDtypeStruct`).

    Returns:
        Done when it is compiled; its `result()` raises what compiling raised.
    """
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), arguments)
    leaves, structure = jax.tree.flatten(shapes)
    key = (program, structure, tuple(leaves))
    _forget()
    if key not in _STARTED:
        traced = _tracing.submit(lambda: program.lower(*shapes))  # type: ignore[attr-defined]
        # What is kept of it keeps the program in jax's own tables.
        _STARTED[key] = _compiling.submit(lambda: traced.result().compile())
    return _STARTED[key]


def _forget() -> None:
    """Drop what jax would compile again since its tables were emptied."""
    before = len(_emptied)
    _tables.trace()
    if len(_emptied) > before:
        _STARTED.clear()
