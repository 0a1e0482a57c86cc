"""Sparse decompositions as the study of CLIP's neurons computes them, beside what was meant.

Its dictionary is centred over the texts and then divided by the norm of each *coordinate* over all of them, times 100,
not by that of each text:

    d_ac = 100 v_ac / sqrt(sum_b v_bc^2)

Pursuit then prefers long atoms, in another metric than the components'. And where it evaluates, an effect e is replaced
by (e . r) r for the reconstruction r of a unit component, without the division by |r|^2 which makes that a projection:
what is left of the component itself is |r|^2 = cos^2 of it along r, where the projection has cos. Told here, for a unit
component x and its reconstruction r over the published dictionary:

    cosine            cos(x, r)
    error             |x - (x . r) r|                   as published
    projection_error  |x - (x . r) r / |r|^2| = sqrt(1 - cos^2)

Source: Gandelsman, Efros and Steinhardt 2025, `compute_sparse_decomposition.py` of second_order_lens.

Shapes: M components, A texts, D model, S atoms.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from causeway.engine.sparse.orthogonal_pursuit import Pursuit, orthogonal_pursuit

SCALE = 100.0


class PublishedDecomposition(NamedTuple):
    """Atoms and coefficients over the published dictionary, the reconstructions, and what each is worth."""

    pursuit: Pursuit
    cosine: Float[np.ndarray, " M"]
    error: Float[np.ndarray, " M"]
    projection_error: Float[np.ndarray, " M"]
    reconstruction: Float[np.ndarray, "M D"]


def published_atoms(vectors: Float[np.ndarray, "A D"]) -> Float[np.ndarray, "A D"]:
    """The dictionary of vectors; a coordinate that all texts have alike is 0, where the original has NaN."""
    centred = vectors - vectors.mean(axis=0)
    sizes = np.linalg.norm(centred, axis=0, keepdims=True)
    return SCALE * centred / np.where(sizes > 0, sizes, 1)


def published_decomposition(
    components: Float[np.ndarray, "M D"], vectors: Float[np.ndarray, "A D"], steps: int
) -> PublishedDecomposition:
    """Components written over the published dictionary.

    Args:
        components: unit vectors. vectors: of the texts. steps: atoms of each.

    Raises:
        ValueError: more atoms than texts.
    """
    atoms = published_atoms(vectors)
    pursuit = orthogonal_pursuit(components, atoms, steps)
    made = pursuit.reconstructed(atoms)
    along, size = np.sum(components * made, axis=1), np.linalg.norm(made, axis=1)
    size = np.where(size > 0, size, 1)
    error, projected = (np.linalg.norm(components - c[:, None] * made, axis=1) for c in (along, along / size**2))
    return PublishedDecomposition(pursuit, along / size, error, projected, made)


def published_figures(found: PublishedDecomposition) -> dict[str, Any]:
    """Means over components, JSON-ready."""
    return {
        "mean_cosine": float(found.cosine.mean()), "mean_error": float(found.error.mean()),
        "mean_projection_error": float(found.projection_error.mean()),
    }  # fmt: skip
