"""Several batches to one dispatch: a device runs a stack of them one after another, as many as there are.

A small batch takes less time to compute than to send: to place its slots, start its program and fetch what it found
takes a core a millisecond and more. A stack holds K batches of one shape, of which the first n run:

    for i < n:  found[i] = function(own[i])

n is traced, so one program serves all numbers of batches, what only fills a stack is sent but not run, and a batch's
bits are those that it has in any other stack. With places along `model`, n is the same on all devices: the compiler
puts messages into the loop, and all of them might wait for a device that takes fewer turns.

Shapes: K batches, [K, ...] of each of their arrays. Memory: the results of K batches, beside what one takes.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.devices import RowParallel
from causeway.engine.gathered import to_host

Part = TypeVar("Part")
# Batches of a stack, and numbers that they may give together.
MOST_BATCHES, MOST_NUMBERS = 32, 2**22


class Stack(NamedTuple):
    """Batches of one shape, [K, ...] of each array, of which the first `taken` are run."""

    own: Any
    taken: Int[AnyArray, ""]


def capacity(numbers: int) -> int:
    """K, of batches that give so many numbers each."""
    return int(np.clip(MOST_NUMBERS // numbers, 1, MOST_BATCHES))


def run_stacks(
    program: Callable[[Any], Any], parts: Iterable[tuple[Part, Any]], kind: Callable[[Part], Hashable], size: int,
    parallel: RowParallel,
) -> Iterator[tuple[Part, Any, Float[np.ndarray, "B W"]]]:  # fmt: skip
    """Every part, its arrays, and what the program made of them.

    Args:
        program: takes a `Stack` on each device, gives [devices, K, B, W]. parts: each with its arrays, of the host.
        kind: what parts have in common that one program serves. size: K, the same whatever the number of parts.
    """
    alike: dict[Hashable, list[tuple[Part, Any]]] = {}
    for part, own in parts:
        alike.setdefault(kind(part), []).append((part, own))
    devices = parallel.count
    for same in alike.values():
        for start in range(0, len(same), size * devices):
            dealt = [same[start : start + size * devices][at::devices] for at in range(devices)]
            equal = len(dealt[0]) if parallel.model > 1 else None
            stacks = [_stack([own for _, own in mine], size, same[0][1], equal) for mine in dealt]
            found = to_host(program(parallel.place(stacks)))
            for mine, results in zip(dealt, found, strict=True):
                for (part, own), result in zip(mine, results, strict=False):
                    yield part, own, result


def _stack(parts: Sequence[Any], size: int, filler: Any, taken: int | None) -> Stack:
    """Trees of equal shapes, and as many fillers as make up a stack; the parts are run, or so many."""
    filled = [*parts, *[filler] * (size - len(parts))]
    return Stack(jax.tree.map(lambda *leaves: np.stack(leaves), *filled), np.asarray(taken or len(parts), np.int32))


def in_turn(
    function: Callable[[Any], Float[Array, "B W"]], stack: Stack, shape: tuple[int, int], dtype: jnp.dtype
) -> Float[Array, "K B W"]:
    """What `function` makes of each batch that is run, and zeros of the others; `shape` is that of one result."""

    def run(at: Array, found: Float[Array, "K B W"]) -> Float[Array, "K B W"]:
        return found.at[at].set(function(jax.tree.map(lambda a: a[at], stack.own)).astype(dtype))

    size = len(jax.tree.leaves(stack.own)[0])
    return jax.lax.fori_loop(0, stack.taken, run, jnp.zeros((size, *shape), dtype))
