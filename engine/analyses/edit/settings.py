"""The settings of a sweep: which neurons are scaled together, and by how much.

    alone      each neuron by itself, times every factor
    together   the first m neurons times every factor, for several m

Neurons come in the order in which they matter. Where each has a sign, such as that of its score on a direction of
correct answers, the first m are edited along the direction instead of alike, with k above 1 and j below:

    amplify    those of positive sign times k
    suppress   those of negative sign times j
    both       both at once, for every k and j

A setting that scales the same neurons by the same numbers as an earlier one is left out. Shapes: M neurons.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from causeway.engine import scalars
from causeway.engine.neurons import Neurons
from causeway.engine.scaled_neurons import ScaledNeurons

FACTORS = (0.0, 0.5, 1.5, 2.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """One edited model.

    Attributes:
        kind: alone, together, amplify, suppress or both. scaled: its neurons and their factors.
    """

    kind: str
    scaled: ScaledNeurons

    @property
    def names(self) -> list[str]:
        """The neurons as LAYER:NEURON."""
        neurons = self.scaled.neurons
        return [f"{layer}:{unit}" for layer, unit in zip(neurons.layer.tolist(), neurons.neuron.tolist(), strict=True)]

    @property
    def factors(self) -> list[float]:
        """By how much each is scaled."""
        return self.scaled.factor.tolist()

    def __str__(self) -> str:
        shown = [f"{name} x{factor:g}" for name, factor in zip(self.names[:4], self.factors, strict=False)]
        return ", ".join(shown) + (f" and {len(self.names) - 4} more" if len(self.names) > 4 else "")


def settings_of(
    neurons: Neurons,
    factors: Sequence[float] = FACTORS,
    sizes: Sequence[int] | None = None,
    signs: Float[np.ndarray, " M"] | None = None,
) -> list[Setting]:
    """Every setting of a sweep, those of single neurons first.

    Args:
        neurons: the ones that matter most first. factors: what activations are multiplied by.
        sizes: numbers m of neurons that are scaled together; default: 2, 4, 8, ... and all.
        signs: of each neuron, by any number of that sign; None scales all alike. A 0 is of neither sign.

    Raises:
        ValueError: no factors, one twice, sizes that are not numbers of the neurons, signs that are not one each, or
            signs without factors on both sides of 1.
    """
    count = len(neurons.layer)
    factors = _factors(factors)
    sizes = _sizes(sizes, count)
    if signs is None:
        groups = itertools.chain.from_iterable(_alike(np.arange(size), factors) for size in sizes)
    else:
        found = scalars.finite_array(signs, "signs")
        if found.shape != (count,):
            raise ValueError(f"signs: got {len(found)} for {count} neurons; needs one each")
        groups = itertools.chain.from_iterable(_along(np.sign(found[:size]), factors) for size in sizes)
    alone = (("alone", np.array([at]), np.array([k])) for at in range(count) for k in factors)
    made: dict[tuple[tuple, tuple], Setting] = {}
    for kind, at, factor in itertools.chain(alone, groups):
        scaled = ScaledNeurons(Neurons(neurons.layer[at], neurons.neuron[at]), factor)
        made.setdefault((tuple(at.tolist()), tuple(factor.tolist())), Setting(kind, scaled))
    return list(made.values())


_Made = tuple[str, Int[np.ndarray, " m"], Float[np.ndarray, " m"]]


def _alike(at: Int[np.ndarray, " m"], factors: Sequence[float]) -> Iterator[_Made]:
    yield from (("together", at, np.full(len(at), k)) for k in factors)


def _along(signs: Float[np.ndarray, " m"], factors: Sequence[float]) -> Iterator[_Made]:
    """The first m neurons along the direction that their signs are of."""
    up, down = [k for k in factors if k > 1], [k for k in factors if k < 1]
    if not up or not down:
        raise ValueError(
            f"factors: got {', '.join(f'{k:g}' for k in factors)}; with signs, needs some above 1 to amplify by and "
            "some below to suppress by"
        )
    good, bad = np.flatnonzero(signs > 0), np.flatnonzero(signs < 0)
    if len(good):
        yield from (("amplify", good, np.full(len(good), k)) for k in up)
    if len(bad):
        yield from (("suppress", bad, np.full(len(bad), j)) for j in down)
    if len(good) and len(bad):
        both = np.flatnonzero(signs)
        yield from (("both", both, _by_sign(signs[both] > 0, k, j)) for k in up for j in down)


def _by_sign(good: Bool[np.ndarray, " m"], up: float, down: float) -> Float[np.ndarray, " m"]:
    return np.where(good, up, down)


def _factors(factors: Sequence[float]) -> list[float]:
    several = isinstance(factors, list | tuple)
    found = [scalars.real(factor, "factors") for factor in factors] if several else []
    if not found or len(set(found)) < len(found):
        raise ValueError(f"factors: got {scalars.shown(factors)}; needs different numbers, such as 0, 0.5, 2")
    return found


def _sizes(sizes: Sequence[int] | None, count: int) -> list[int]:
    if sizes is None:
        return sorted({count, *(2**power for power in range(1, count.bit_length()) if 2**power < count)} - {0})
    if not isinstance(sizes, list | tuple):
        raise ValueError(f"together: got {scalars.shown(sizes)}; needs a list of numbers of neurons, such as [2, 8]")
    return [scalars.integer(size, "together", 1, count) for size in sizes]
