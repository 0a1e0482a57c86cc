"""A workload compiled for a card, and what comes out of it against what the mathematics needs.

Nothing runs: bytes are those that the compiled kernels read and write, as if no array stayed in the cache from one
kernel to the next, and the time that follows from them and from the operations is a bound, not a measurement.
"""

import collections
import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec

from causeway.engine.bench.compile.cards import Card
from causeway.engine.bench.compile.hlo import parse
from causeway.engine.bench.compile.traffic import Kernel, kernels, largest_loop, moved
from causeway.engine.bench.compile.workload import Workload
from causeway.engine.precision import full_precision


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler made of a program.

    Attributes:
        arguments, temporaries, results: bytes of device memory. text: optimised HLO.
    """

    arguments: int
    temporaries: int
    results: int
    text: str

    @property
    def memory(self) -> int:
        """Bytes that a call needs."""
        return self.arguments + self.temporaries + self.results


def compiled_for(card: Card, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Compiled:
    """Compile for one such card; the process needs XLA's compiler for it, and no device.

    Args:
        function: a program of the engine. arguments: arrays, of which the shapes count, or shapes.
    """
    topology = topologies.get_topology_desc(platform="cuda", target_config=card.target, topology="1x1x1")
    mesh = topologies.make_mesh(topology, (1,), ("rows",))
    whole = NamedSharding(mesh, PartitionSpec())
    shapes = jax.eval_shape(lambda *given: given, *arguments)
    placed = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=whole), shapes)
    made = jax.jit(full_precision(function)).lower(*placed).compile()
    memory: Any = made.memory_analysis()
    return Compiled(
        memory.argument_size_in_bytes, memory.temp_size_in_bytes, memory.output_size_in_bytes, made.as_text() or ""
    )


def call_seconds(card: Card, compiled: Compiled, trips: float, taken: float = 1.0) -> float:
    """The least time of a call; loops of unknown length run `trips` times, conditionals as `kernels` says."""
    return _seconds(card, kernels(parse(compiled.text), trips, taken))


def figures(card: Card, workload: Workload, compiled: Compiled) -> dict[str, float]:
    """Figures of a program by name; those of a trip are of its largest loop, `call` is all of it."""
    program = parse(compiled.text)
    trip, call = largest_loop(program, workload.trips), kernels(program, workload.trips)
    copies = [kernel for kernel in trip if kernel.copies]
    needed, seconds = workload.needed, _seconds(card, call)
    return {
        "arguments_gb": compiled.arguments / 1e9,
        "temporaries_gb": compiled.temporaries / 1e9,
        "memory_fraction": compiled.memory / card.memory,
        "trip_gb": moved(trip) / 1e9,
        "needed_gb": needed.bytes / 1e9,
        "trip_tflop": _operations(trip) / 1e12,
        "needed_tflop": needed.operations / 1e12,
        "trip_kernels": sum(kernel.count for kernel in trip),
        "trip_copies": sum(kernel.count for kernel in copies),
        "trip_copies_gb": moved(copies) / 1e9,
        "trip_ms": 1e3 * _seconds(card, trip),
        "needed_ms": 1e3 * card.seconds(needed.bytes, {workload.dtype: workload.passes * needed.operations}),
        "call_gb": moved(call) / 1e9,
        "call_ms": 1e3 * seconds,
        f"{workload.answer}_per_second": workload.answers / seconds,
    }


def copied(compiled: Compiled, trips: int) -> dict[str, float]:
    """Gigabytes a trip of copies of each argument, those of its layers together, the largest first."""
    return _sums(compiled, trips, lambda kernel: re.sub(r"\[\d+\]", "[]", kernel.copies))


def largest(compiled: Compiled, trips: int, most: int = 6) -> dict[str, float]:
    """Gigabytes a trip of each kind of kernel, the largest alone."""
    return dict(list(_sums(compiled, trips, lambda kernel: kernel.kind).items())[:most])


def _sums(compiled: Compiled, trips: int, key: Callable[[Kernel], str]) -> dict[str, float]:
    """Gigabytes by what a kernel is called; those called nothing are left out."""
    found: dict[str, float] = collections.defaultdict(float)
    for kernel in largest_loop(parse(compiled.text), trips):
        if key(kernel):
            found[key(kernel)] += kernel.count * kernel.bytes / 1e9
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def _operations(found: Sequence[Kernel]) -> float:
    return sum(kernel.count * kernel.operations for kernel in found)


def _seconds(card: Card, found: Sequence[Kernel]) -> float:
    """Kernels run one after another, each no faster than its bytes and its operations allow."""
    return sum(kernel.count * card.seconds(kernel.bytes, {kernel.dtype: kernel.operations}) for kernel in found)
