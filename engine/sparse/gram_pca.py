"""Principal directions of neurons' effects, found in the space of their codes.

The effect of a neuron is phi = s M (`code_moments`). A set of deviations of codes, written as L [K, J] with one column
each, stands for vectors L' M in the stream; their principal directions follow from a matrix of the size J alone:

    (L' G L) u = lambda u,    c = L u / sqrt(lambda),    v = c M

v is a unit vector of D coordinates with |c M|^2 = c G c' = 1, and lambda is what the vectors have of it. Nothing is
inverted, so codes that are dependent, matrices of lower rank, and more codes than coordinates need no care:

    all prompts             L L' = Cov             -> `principal`; lambda is variance
    the k largest effects   L = their deviations'  -> `largest_rows.first_direction`

A direction is kept as its coefficients c [K] (`vectors_of` gives v). How much of other prompts' effects lies along it
needs their covariance alone, through its loadings a = M v = G c, the size of v that one unit of each code brings:

    variance along v = a Cov a',    share = a Cov a' / tr(Cov G)

Against that stand a direction drawn at random from the row space of M, whose share is 1 / rank in expectation, and the
first direction of one group of codes (one head) alone.

Shapes: N neurons, K codes, D stream, J columns, C directions of a neuron, H groups of codes, each of K / H neighbours.
Cost: an eigenvalue problem [J, J] a neuron and 4 N K^2 J operations. Memory: a few [N, K, K].
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.precision import full_precision


class Directions(NamedTuple):
    """Directions of each neuron, those with most variance first.

    Attributes:
        coefficients: [N, C, K]; 0 where nothing varies any more.
        variance: [N, C] of the vectors along each (of rows: the sum of squares).
    """

    coefficients: Float[Array, "N C K"]
    variance: Float[Array, "N C"]


def eigenvectors(matrices: Float[Array, "N K K"]) -> tuple[Float[Array, "N K"], Float[Array, "N K K"]]:
    """Eigenvalues, ascending, and eigenvectors of symmetric matrices, by LAPACK on the host.

    XLA's CPU runtime (jaxlib 0.10.2) can hang for ever where one program holds two batched decompositions, which wait
    for each other's threads. So nothing that comes here may be traced.
    """
    values, vectors = np.linalg.eigh(np.asarray(matrices))
    return jnp.asarray(values), jnp.asarray(vectors)


def principal(covariance: Float[Array, "N K K"], gram: Float[Array, "N K K"], count: int = 1) -> Directions:
    """Principal directions of the effects of all prompts.

    Args:
        covariance: of the codes. gram: M M'. count: C, at most K.
    """
    return directions_of(_root(*eigenvectors(covariance)), gram, count)


@jax.jit
def _root(values: Float[Array, "N K"], vectors: Float[Array, "N K K"]) -> Float[Array, "N K K"]:
    return vectors * jnp.sqrt(jnp.maximum(values, 0))[:, None, :]


def directions_of(columns: Float[Array, "N K J"], gram: Float[Array, "N K K"], count: int) -> Directions:
    """Principal directions of vectors that are given by their codes, around 0."""
    return _directions(columns, gram, *eigenvectors(_inner(columns, gram)), count)


@jax.jit
@full_precision
def _inner(columns: Float[Array, "N K J"], gram: Float[Array, "N K K"]) -> Float[Array, "N J J"]:
    return jnp.einsum("nkj,nkl,nlm->njm", columns, gram, columns, optimize="optimal")


@partial(jax.jit, static_argnames="count")
@full_precision
def _directions(
    columns: Float[Array, "N K J"], gram: Float[Array, "N K K"], values: Float[Array, "N J"],
    vectors: Float[Array, "N J J"], count: int,
) -> Directions:  # fmt: skip
    """The largest `count` of all eigenvectors, as codes of unit vectors."""
    # What is smaller than the rounding of the largest is nothing.
    least = jnp.finfo(gram.dtype).eps * values.shape[-1] * jnp.maximum(values[:, -1:], 0)
    values, vectors = values[:, ::-1][:, :count], vectors[:, :, ::-1][:, :, :count]
    coefficients = jnp.einsum("nkj,njc->nck", columns, vectors)
    there = (values > least)[..., None]
    size = jnp.sqrt(jnp.maximum(jnp.einsum("nck,nkl,ncl->nc", coefficients, gram, coefficients), 0))[..., None]
    unit = jnp.where(there & (size > 0), coefficients / jnp.where(size > 0, size, 1), 0)
    return Directions(unit, jnp.where(there[..., 0], values, 0))


@jax.jit
@full_precision
def vectors_of(coefficients: Float[Array, "N C K"], matrix: Float[Array, "N K D"]) -> Float[Array, "N C D"]:
    """Directions as vectors of the stream: c M."""
    return jnp.einsum("nck,nkd->ncd", coefficients, matrix)


@jax.jit
@full_precision
def loadings_of(coefficients: Float[Array, "N C K"], gram: Float[Array, "N K K"]) -> Float[Array, "N C K"]:
    """What a unit of each code has of each direction: G c, which is M v."""
    return jnp.einsum("nkl,ncl->nck", gram, coefficients)


@full_precision
def loadings_of_vectors(vectors: Float[Array, "N C D"], matrix: Float[Array, "N K D"]) -> Float[Array, "N C K"]:
    """The same of directions that are given as vectors, wherever they come from: M v."""
    return jnp.einsum("nkd,ncd->nck", matrix, vectors)


@jax.jit
@full_precision
def share_explained(
    loadings: Float[Array, "N C K"], covariance: Float[Array, "N K K"], gram: Float[Array, "N K K"]
) -> Float[Array, "N C"]:
    """Share of the effects' variance along unit directions; 0 of neurons whose effect does not vary.

    Args:
        loadings: of the directions. covariance: of the codes on the prompts asked about. gram: M M'.
    """
    along = jnp.einsum("nck,nkl,ncl->nc", loadings, covariance, loadings)
    total = jnp.sum(covariance * gram, axis=(1, 2))[:, None]
    return jnp.where(total > 0, along / jnp.where(total > 0, total, 1), 0)


def ranks(gram: Float[Array, "N K K"]) -> Int[Array, " N"]:
    """Rank of M, as far as M M' tells: singular values down to the root of the dtype's rounding."""
    values = eigenvectors(gram)[0]
    return jnp.sum(values > jnp.finfo(gram.dtype).eps * gram.shape[-1] * values[:, -1:], axis=1)


def random_share(gram: Float[Array, "N K K"]) -> Float[Array, " N"]:
    """Expected share of a direction drawn uniformly from the row space of M, whatever the covariance: 1 / rank.

    E v v' is the projection onto the space over its dimension, and all effects lie in the space.
    """
    rank = ranks(gram)
    return jnp.where(rank > 0, 1 / jnp.maximum(rank, 1), 0).astype(gram.dtype)


def group_loadings(
    covariance: Float[Array, "N K K"], gram: Float[Array, "N K K"], groups: int
) -> Float[Array, "N C K"]:
    """Loadings of the first direction of each group of codes alone, C = `groups` of K / groups neighbours.

    With one code a group (a head), the direction is the head's row of M; with a layer's heads, what they do together.

    Raises:
        ValueError: the codes cannot be divided so.
    """
    neurons, codes = gram.shape[:2]
    if groups < 1 or codes % groups:
        raise ValueError(f"groups: got {groups}; needs a divisor of the {codes} codes")
    own_covariance, own_gram = (_within_groups(x, groups) for x in (covariance, gram))
    found = principal(own_covariance, own_gram).coefficients
    return _loadings_of_groups(gram, found.reshape(neurons, groups, codes // groups))


@partial(jax.jit, static_argnames="groups")
def _within_groups(matrices: Float[Array, "N K K"], groups: int) -> Float[Array, "NH S S"]:
    """The square blocks of codes of one group."""
    codes = matrices.shape[-1]
    own = jnp.arange(codes).reshape(groups, -1)
    return matrices[:, own[:, :, None], own[:, None, :]].reshape(-1, codes // groups, codes // groups)


@jax.jit
@full_precision
def _loadings_of_groups(gram: Float[Array, "N K K"], found: Float[Array, "N H S"]) -> Float[Array, "N H K"]:
    # [N, K, H, K/H]: every code's products with those of a group.
    return jnp.einsum("nkhs,nhs->nhk", gram.reshape(*gram.shape[:2], *found.shape[1:]), found)
