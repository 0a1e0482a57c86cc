"""Parts of a block held at what they were in the clean pass.

    norm(x) = gain * centre(x) / sigma_clean (+ bias)          z_h[t] = sum_s P_clean_h[t, s] v_h[s]

`Holding` is which layers hold what, as data. Of a set C of layers there are two readings:

    reading             patterns     norms            MLP outputs    what features write
    held layers         in C         in C             in C           everywhere
    circuit-tracer's    everywhere   nowhere          in C           in C alone
    C all layers        everywhere   everywhere       everywhere     everywhere

Held layers are as in the clean pass whole, and every other layer runs open. circuit-tracer's `constrained_layers` says
up to where MLPs do not answer: attention never does, norms always do, and what a cross-layer decoder writes outside C
is dropped. Over all layers the readings are the same pass.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax
import numpy as np
from jaxtyping import Array, Bool

from causeway.engine.arrays import AnyArray

Here = Bool[Array, ""] | Literal[True]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Holding:
    """Layers whose attention patterns, norms (the last entry is the final norm) and MLP outputs are held, and layers
    to which features write."""

    patterns: Bool[AnyArray, " L"]
    norms: Bool[AnyArray, " L+1"]
    outputs: Bool[AnyArray, " L"]
    writes: Bool[AnyArray, " L"]

    @classmethod
    def of_layers(cls, layers: Sequence[int], num_layers: int) -> "Holding":
        """These layers whole, the final norm with the last one; the others run open."""
        held = np.isin(np.arange(num_layers), layers)
        return cls(held, np.append(held, held[-1]), held, np.ones(num_layers, bool))

    @classmethod
    def as_circuit_tracer(cls, layers: Sequence[int], num_layers: int) -> "Holding":
        """What circuit-tracer's `constrained_layers` means."""
        inside = np.isin(np.arange(num_layers), layers)
        return cls(np.ones(num_layers, bool), np.full(num_layers + 1, inside.all()), inside, inside)

    @property
    def whole(self) -> bool:
        """Whether everything is held, so that no program has to ask layer by layer."""
        return bool(np.asarray(self.patterns).all() and np.asarray(self.norms).all() and np.asarray(self.outputs).all())
