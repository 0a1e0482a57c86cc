"""Orthogonal matching pursuit: many vectors written with a few atoms each.

Each step takes the atom that the remainder has most of, and fits the vector by all atoms taken so far:

    i = argmax_a |r . d_a|,    r = x - (projection of x onto the atoms taken)

Atoms taken are kept as Q R (Q orthonormal, R triangular), one more column a step, so the projection is one more product
and the coefficients one triangular system at the end; the Gram matrix of the atoms is never made (30,000 atoms: 7 GB in
float64). A vector is finished when nothing is left of it, or nothing that an atom has: it takes fewer atoms, and none
twice. Ties go to the lower index.

Which atom comes first is a question of angles where all atoms have norm 1; otherwise long atoms come first. Each step's
remainder is kept: cos(x, its reconstruction) = sqrt(1 - |r|^2 / |x|^2) after every number of atoms, since a projection
leaves a right angle.

What `engine.dictionary.matching_pursuit` has is another thing: feature values of an SAE, never negative, not fitted
together.

Source: Pati, Rezaiifar and Krishnaprasad 1993; the supports are those of scikit-learn's `orthogonal_mp`.

Shapes: M vectors of D coordinates, in blocks; A atoms, S steps (atoms a vector).
Cost: 2 M A D S operations. Memory: [block, A] and [block, S, D] beside the atoms.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.precision import full_precision

# Vectors at once: with 100,000 atoms their products are 200 MB.
BLOCK = 512
# Twice is enough (Kahan and Parlett): once leaves rounding of near-parallel atoms.
PASSES = 2


@dataclasses.dataclass(frozen=True)
class Pursuit:
    """What became of each vector, in the order in which atoms were taken.

    Attributes:
        atom: [M, S] indices; -1 where the vector was finished.
        coefficient: [M, S] of the fit by all of them; 0 where there is no atom.
        remainder: [M, S] |r| / |x| after each step; 0 of a vector that is 0.
    """

    atom: Int[np.ndarray, "M S"]
    coefficient: Float[np.ndarray, "M S"]
    remainder: Float[np.ndarray, "M S"]

    @property
    def cosine(self) -> Float[np.ndarray, "M S"]:
        """Cosine between each vector and its reconstruction after each step."""
        return np.sqrt(np.maximum(1 - np.square(self.remainder), 0))

    def arrays(self) -> dict[str, np.ndarray]:
        """All [M, S] of it by name."""
        return {"atom": self.atom, "coefficient": self.coefficient, "cosine": self.cosine}

    def entries(self, names: Sequence[str]) -> list[list[tuple[int, float, str]]]:
        """(index, coefficient, name) of each vector's atoms, the largest |coefficient| first."""
        order = np.argsort(-np.abs(self.coefficient), axis=1, kind="stable")
        atoms, coefficients = (np.take_along_axis(a, order, axis=1) for a in (self.atom, self.coefficient))
        return [
            [(a, c, names[a]) for a, c in zip(*row, strict=True) if a >= 0]
            for row in zip(atoms.tolist(), coefficients.tolist(), strict=True)
        ]

    def reconstructed(self, atoms: Float[AnyArray, "A D"]) -> Float[np.ndarray, "M D"]:
        """The sum of each vector's atoms times their coefficients."""
        found = np.zeros((len(self.atom), atoms.shape[1]), self.coefficient.dtype)
        for step in range(self.atom.shape[1]):
            found += self.coefficient[:, step, None] * np.asarray(atoms)[np.maximum(self.atom[:, step], 0)]
        return found


def orthogonal_pursuit(
    vectors: Float[AnyArray, "M D"], atoms: Float[AnyArray, "A W"], steps: int, *, block: int = BLOCK
) -> Pursuit:
    """Write vectors with a few atoms each.

    Args:
        vectors: what is written.
        atoms: none of them 0; of norm 1 where angles should decide.
        steps: the most atoms of a vector.
        block: vectors at once, at most; a vector's result does not depend on the others.

    Raises:
        ValueError: other widths, more steps than atoms, or numbers that are not finite.
    """
    _check(vectors, atoms, steps)
    dictionary, parts = jnp.asarray(atoms), []
    # Few vectors make a small block: what fills it up is computed too.
    size = min(block, 1 << (max(len(vectors), 1) - 1).bit_length())
    for start in range(0, len(vectors), size):
        part = np.asarray(vectors[start : start + size], dictionary.dtype)
        full = np.concatenate([part, np.zeros((size - len(part), part.shape[1]), part.dtype)])
        parts.append([np.asarray(found)[: len(part)] for found in _pursue(jnp.asarray(full), dictionary, steps)])
    if not parts:
        blank = np.zeros((0, steps))
        return Pursuit(blank.astype(np.int32), blank, blank)
    return Pursuit(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _check(vectors: Float[AnyArray, "M D"], atoms: Float[AnyArray, "A W"], steps: int) -> None:
    if vectors.ndim != 2 or atoms.ndim != 2 or vectors.shape[1] != atoms.shape[1]:
        raise ValueError(f"atoms: got shape {atoms.shape}, and vectors {vectors.shape}; needs as many coordinates")
    if not 1 <= steps <= len(atoms):
        raise ValueError(f"atoms: got {steps} for each vector from {len(atoms)}; needs from 1 to {len(atoms)}")
    for name, array in (("vectors", vectors), ("atoms", atoms)):
        if bad := len(array) - int(np.isfinite(array).all(axis=1).sum()):
            raise ValueError(f"{name}: {bad} of {len(array)} are not finite; needs finite numbers")


class _State(NamedTuple):
    """Of a block after some steps."""

    remainder: Float[Array, "B D"]
    open: Bool[Array, " B"]
    taken: Int[Array, "B S"]
    basis: Float[Array, "B S D"]
    triangle: Float[Array, "B S S"]
    along: Float[Array, "B S"]
    left: Float[Array, "B S"]


@partial(jax.jit, static_argnames="steps")
@full_precision
def _pursue(
    x: Float[Array, "B D"], atoms: Float[Array, "A D"], steps: int
) -> tuple[Int[Array, "B S"], Float[Array, "B S"], Float[Array, "B S"]]:
    """Atoms, coefficients and remainders of a block."""
    rows, size = len(x), jnp.linalg.norm(x, axis=1)
    identity = jnp.broadcast_to(jnp.eye(steps, dtype=x.dtype), (rows, steps, steps))
    start = _State(
        x, size > 0, jnp.full((rows, steps), -1, jnp.int32), jnp.zeros((rows, steps, x.shape[1]), x.dtype),
        identity, jnp.zeros((rows, steps), x.dtype), jnp.zeros((rows, steps), x.dtype),
    )  # fmt: skip
    longest = jnp.max(jnp.linalg.norm(atoms, axis=1))
    end = jax.lax.fori_loop(0, steps, lambda t, state: _step(t, state, x, size, atoms, longest), start)
    coefficients = jax.scipy.linalg.solve_triangular(end.triangle, end.along[..., None])[..., 0]
    return end.taken, jnp.where(end.taken >= 0, coefficients, 0), end.left


def _step(
    t: Int[Array, ""], state: _State, x: Float[Array, "B D"], size: Float[Array, " B"], atoms: Float[Array, "A D"],
    longest: Float[Array, ""],
) -> _State:  # fmt: skip
    """One more atom for every vector that is not finished."""
    rows = jnp.arange(len(x))
    products = jnp.abs(state.remainder @ atoms.T)
    # Nothing is left of an atom that was taken but rounding; -1 marks no column.
    products = products.at[rows[:, None], jnp.where(state.taken < 0, len(atoms), state.taken)].set(-1, mode="drop")
    best = jnp.argmax(products, axis=1)
    chosen = atoms[best]
    rounding = 16 * jnp.finfo(x.dtype).eps
    going = state.open & (products[rows, best] > rounding * size * longest)
    # The new atom without what the others have of it.
    rest, shared = chosen, jnp.zeros_like(state.along)
    for _ in range(PASSES):
        part = jnp.einsum("bsd,bd->bs", state.basis, rest)
        rest, shared = rest - jnp.einsum("bs,bsd->bd", part, state.basis), shared + part
    length = jnp.linalg.norm(rest, axis=1)
    going &= length > rounding * longest
    unit = jnp.where(going[:, None], rest / jnp.where(going, length, 1)[:, None], 0)
    along = jnp.sum(unit * state.remainder, axis=1)
    remainder = state.remainder - along[:, None] * unit
    column = shared.at[:, t].set(length)
    return _State(
        remainder,
        going,
        state.taken.at[:, t].set(jnp.where(going, best, -1).astype(jnp.int32)),
        state.basis.at[:, t].set(unit),
        state.triangle.at[:, :, t].set(jnp.where(going[:, None], column, state.triangle[:, :, t])),
        state.along.at[:, t].set(along),
        state.left.at[:, t].set(jnp.linalg.norm(remainder, axis=1) / jnp.where(size > 0, size, 1)),
    )
