"""What the codes of some neurons of one layer say of their effects: component, shares explained, sparsity.

Everything is found in the space of codes (`engine/sparse`), on the prompts that choose:

    mean effect         E phi = E s M
    component           c: the first principal direction of all effects, a unit vector c M; its sign such that more
                        than half of the k largest effects have it positive
    threshold           the k-th largest |phi - E phi|
    published           the first singular vector of the k largest deviations alone, as Gandelsman et al. have it

and judged on the prompts held out, by their deviations x from the mean effect of those that chose:

    explained           sum (x . v)^2 / sum |x|^2, v the component; of the prompts that chose too
    random direction    1 / rank M: what a direction drawn from the space of all the neuron's effects has on average
    single head         the same share of the direction of one code's map, of the head with most on those that chose
    sparsity            Gini, participation ratio and shares of the largest prompts, of |x|; share of |x| > threshold

A neuron whose effect does not vary has no component (0), and no share (NaN).

Prompts come in blocks and neurons in chunks, so nothing is larger than P m K for m neurons at a time.

Shapes: P prompts, m neurons of a chunk, K codes, D model, k largest effects.
Cost: 4 P m K^2 for covariances and norms, eigenvalues of [K, K] a neuron. Memory: `CHUNK_BYTES`.
"""

import dataclasses
from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.frozen.factored import effect_maps
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision
from causeway.engine.sparse.code_moments import CodeMoments, gram_of, moments_of, total_variance, varies
from causeway.engine.sparse.gram_pca import (
    group_loadings,
    loadings_of,
    principal,
    random_share,
    share_explained,
    vectors_of,
)
from causeway.engine.sparse.largest_rows import LargestRows, effect_norms, first_direction, oriented, with_rows
from causeway.engine.stats.concentration import gini, participation, top_shares

TOP = (0.01, 0.05, 0.1)
# What a chunk of neurons takes, and one block of their prompts.
CHUNK_BYTES = 2**29
BLOCK_BYTES = 2**25


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Figures of m neurons.

    Attributes:
        mean, component, published: [m, D]. largest: [m, k] sizes of the largest effects, ascending.
        columns: by name, [m] each.
    """

    mean: Float[np.ndarray, "m D"]
    component: Float[np.ndarray, "m D"]
    published: Float[np.ndarray, "m D"]
    largest: Float[np.ndarray, "m k"]
    columns: dict[str, np.ndarray]

    @classmethod
    def joined(cls, chunks: list["Chunk"]) -> "Chunk":
        """One after another."""
        names = ("mean", "component", "published", "largest")
        arrays = {name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in names}
        columns = {name: np.concatenate([chunk.columns[name] for chunk in chunks]) for name in chunks[0].columns}
        return cls(**arrays, columns=columns)


def chunk_neurons(prompts: int, codes: int, width: int, k: int, itemsize: int) -> int:
    """How many neurons fit into `CHUNK_BYTES`."""
    numbers = 2 * prompts * codes + 2 * codes * width + 8 * codes * codes + 3 * k * codes
    return max(1, CHUNK_BYTES // (itemsize * numbers + 4 * 8 * prompts))


@full_precision
def maps_of(transformer: Transformer, layer: int, neurons: Int[np.ndarray, " m"]) -> Float[Array, "m K D"]:
    """Maps of some neurons, by number."""
    return _maps(transformer, jnp.asarray(neurons, jnp.int32), layer)


def chunk_found(
    maps: Float[Array, "m K D"], codes: Float[np.ndarray, "P m K"], chosen: Bool[np.ndarray, " P"], k: int
) -> Chunk:
    """What the codes of some neurons say.

    Args:
        maps: of the neurons. codes: on all prompts. chosen: prompts that choose; the others are held out.
        k: largest effects.
    """
    gram = gram_program(maps)
    train, held = _moments(codes, np.flatnonzero(chosen)), _moments(codes, np.flatnonzero(~chosen))
    largest = LargestRows.empty(len(maps), k, maps.shape[1], maps.dtype)
    for block, numbers, there in _blocks(codes, np.flatnonzero(chosen)):
        largest = _with_rows(largest, block, numbers, train.mean, gram, there)
    found = {name: np.asarray(value) for name, value in _figures(maps, gram, train, held, largest).items()}
    vary, threshold = found["varies"], np.asarray(largest.norms[:, 0])
    sizes = sizes_of(codes, np.flatnonzero(~chosen), train.mean, gram) * vary
    columns = {name: value for name, value in found.items() if value.ndim == 1}
    told = _sparsity(sizes, threshold)
    shares = {name: value for name, value in (columns | told).items() if name in SHARES or name in told}
    columns |= {name: np.where(vary, value, np.nan) for name, value in shares.items()}
    columns |= {"threshold": np.where(vary, threshold, 0.0)}
    return Chunk(found["mean"], found["component"], found["published"], np.asarray(largest.norms), columns)


SHARES = (
    "explained", "explained_held_out", "random_direction", "single_head", "published_held_out", "published_cosine",
)  # fmt: skip


@full_precision
def _figures(
    maps: Float[Array, "m K D"],
    gram: Float[Array, "m K K"],
    train: CodeMoments,
    held: CodeMoments,
    largest: LargestRows,
) -> dict[str, Array]:
    """Directions, and the shares that they have; columns are [m]."""
    covariance, there = train.covariance, varies(train, gram)
    first = oriented(principal(covariance, gram).coefficients, largest, gram) * there[:, None, None]
    published = first_direction(largest, gram).coefficients * there[:, None, None]
    off = held.mean - train.mean
    others = jnp.asarray(held.m2) + held.count * off[:, :, None] * off[:, None, :]
    along, along_published = loadings_of(first, gram), loadings_of(published, gram)
    heads = group_loadings(covariance, gram, gram.shape[-1])
    head = jnp.argmax(share_explained(heads, covariance, gram), axis=1)
    of_heads = share_explained(heads, others, gram)
    mean = jnp.einsum("mk,mkd->md", train.mean, maps)
    return {
        "mean": mean, "component": vectors_of(first, maps)[:, 0], "published": vectors_of(published, maps)[:, 0],
        "varies": there, "mean_norm": jnp.linalg.norm(mean, axis=1), "variance": total_variance(covariance, gram),
        "explained": share_explained(along, covariance, gram)[:, 0],
        "explained_held_out": share_explained(along, others, gram)[:, 0],
        "random_direction": random_share(gram),
        "single_head": jnp.take_along_axis(of_heads, head[:, None], axis=1)[:, 0],
        "head": head,
        "published_held_out": share_explained(along_published, others, gram)[:, 0],
        "published_cosine": jnp.einsum("mck,mck->m", first, along_published),
    }  # fmt: skip


def _sparsity(sizes: Float[np.ndarray, "P m"], threshold: Float[np.ndarray, " m"]) -> dict[str, np.ndarray]:
    """How few prompts hold most of each neuron's effects; columns are [m]."""
    top = top_shares(sizes, TOP)
    return {
        "gini": gini(sizes), "participation_ratio": participation(sizes),
        **{f"mass_top_{100 * share:g}": held for share, held in zip(TOP, top, strict=True)},
        "share_above": (sizes > threshold).mean(axis=0),
    }  # fmt: skip


def _moments(codes: Float[np.ndarray, "P m K"], numbers: Int[np.ndarray, " n"]) -> CodeMoments:
    _, neurons, count = codes.shape
    moments = CodeMoments.empty(neurons, count, codes.dtype)
    for block, _, there in _blocks(codes, numbers):
        moments = _with_moments(moments, block, there)
    return moments


def sizes_of(
    codes: Float[np.ndarray, "P m K"],
    numbers: Int[np.ndarray, " n"],
    mean: Float[AnyArray, "m K"],
    gram: Float[AnyArray, "m K K"],
) -> Float[np.ndarray, "n m"]:
    """|phi - E phi| on some prompts."""
    parts = [np.asarray(_norms(block, mean, gram))[there] for block, _, there in _blocks(codes, numbers)]
    return np.concatenate(parts).astype(np.float64)


def _blocks(
    codes: Float[np.ndarray, "P m K"], numbers: Int[np.ndarray, " n"]
) -> Iterator[tuple[Float[np.ndarray, "B m K"], Int[np.ndarray, " B"], Bool[np.ndarray, " B"]]]:
    """Some prompts in blocks of one size, with their numbers; the last repeats one that does not count."""
    rows = max(1, min(len(codes), BLOCK_BYTES // max(1, codes[0].nbytes)))
    for start in range(0, len(numbers), rows):
        own = numbers[start : start + rows]
        padded = np.concatenate([own, np.full(rows - len(own), own[0])]).astype(np.int32)
        yield codes[padded], padded, np.arange(rows) < len(own)


@jax.jit
def _with_moments(moments: CodeMoments, block: Array, there: Array) -> CodeMoments:
    return moments + moments_of(block, there)


gram_program = jax.jit(gram_of)
_norms = jax.jit(effect_norms)
_with_rows = jax.jit(with_rows)


@partial(jax.jit, static_argnames="layer")
def _maps(transformer: Transformer, neurons: Int[Array, " m"], layer: int) -> Float[Array, "m K D"]:
    return effect_maps(transformer, layer, neurons)
