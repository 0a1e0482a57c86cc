"""Virtual weights: how strongly a feature of one layer writes what a feature of a higher layer reads.

    V[t, s] = W_enc_t . diag(gain) C d_s           d_s = what s writes into the stream below t

gain and C (centring, LayerNorm alone) are of the norm before the target's MLP; the path is the stream itself, without
attention. V is the same for every prompt, and so dominated by pairs that never meet: weighted by how they do,

    raw     V[t, s]
    era     mean over tokens of 1[a_t > 0] a_s scale_t V[t, s]          the mean direct edge
    twera   mean(a_t a_s scale_t) / mean(a_t) V[t, s]                   weighted by the target's activation

with scale_t = 1 / sigma of the target's norm at the token. SAEs of the stream write nothing: their d_s is a direction
that the stream has at the source's layer, so V says how far the target reads that direction where it is carried on
unchanged, not what one feature adds to another.

The F x F matrix (27 billion numbers for 163,840 features) is never made: blocks of it are, and of each row the k
largest by size are kept.

Source: Ameisen et al. 2025, "Circuit Tracing", global weights (ERA, TWERA).

Cost: 2 F^2 D operations a pair of layers; with co-activation, sparse products besides. Memory: block^2.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.sparse import csr_array, vstack

from causeway.engine import scalars
from causeway.engine.analyses.attribute.attribute import check_request, check_streams
from causeway.engine.dictionary.finite import broken_arrays
from causeway.engine.dictionary.fit import fitted
from causeway.engine.frozen.pullback import read_in
from causeway.engine.frozen.record import record_prompt
from causeway.engine.frozen.sources import Transcoders, active_features, of_model
from causeway.engine.model.finite import NotFiniteError, all_finite
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import Transformer, layer
from causeway.engine.precision import full_precision
from causeway.kernels.top_k import top_k

Weighting = Literal["raw", "era", "twera"]


@dataclasses.dataclass(frozen=True)
class VirtualWeights:
    """The k strongest sources of each target, strongest first.

    source: [F, k] feature numbers, -1 where fewer than k have a weight. weight: [F, k] signed.
    """

    source: Int[np.ndarray, "F k"]
    weight: Float[np.ndarray, "F k"]

    def strongest(self, shown: int) -> list[tuple[int, int, float]]:
        """(target, source, weight) of the largest weights by size."""
        sizes = np.where(self.source >= 0, np.abs(self.weight), -1.0)
        order = np.argsort(-sizes, axis=None, kind="stable")[:shown]
        places = [np.unravel_index(at, sizes.shape) for at in order if sizes.flat[at] >= 0]
        return [(int(t), int(self.source[t, k]), float(self.weight[t, k])) for t, k in places]


@dataclasses.dataclass(frozen=True)
class Coactivation:
    """Activations of two layers' features on the same tokens.

    source: [n, F], each times the target norm's scale at its token. target: [n, F].
    """

    source: csr_array
    target: csr_array

    def factors(self, targets: slice, sources: slice, weighting: Weighting) -> Float[np.ndarray, "t s"]:
        """What a block of virtual weights is multiplied by."""
        values = self.target[:, targets]
        if weighting == "era":
            values = csr_array((values > 0).astype(values.dtype))
        products = (values.T @ self.source[:, sources]).toarray()
        # Sums over tokens: of era per token, of twera per unit of the target.
        size = np.asarray(values.sum(axis=0)).ravel()[:, None] if weighting == "twera" else self.target.shape[0]
        return np.where(np.asarray(size) > 0, products / np.where(np.asarray(size) > 0, size, 1), 0)


def quantity_of(dictionaries: Transcoders) -> str:
    """What a virtual weight of such dictionaries is, in words."""
    if dictionaries.config.is_transcoder:
        return "what a feature's output adds to another's input, a unit each"
    return "SAEs: how far a feature reads the direction that another stands for, where the stream carries it on"


def coactivation(
    model: Model, transcoders: Transcoders, prompts: Sequence[str | Sequence[int]], source_layer: int, target_layer: int
) -> Coactivation:
    """Activations of two layers on all tokens of some prompts but the first of each.

    Raises:
        ValueError: no prompts, or one that the model cannot be run on.
    """
    if not prompts:
        raise ValueError("prompts: none; needs texts on which features are active together")
    transcoders = of_model(model, transcoders)
    layers = model.config.num_layers
    source_layer, target_layer = _layers(transcoders, layers, source_layer, target_layer)
    found = [_of_prompt(model, transcoders, model.tokens(prompt), source_layer, target_layer) for prompt in prompts]
    return Coactivation(*(csr_array(vstack(rows, format="csr")) for rows in zip(*found, strict=True)))


def _of_prompt(
    model: Model, transcoders: Transcoders, tokens: Sequence[int], source_layer: int, target_layer: int
) -> tuple[csr_array, csr_array]:
    check_request(model, transcoders, tokens)
    record, stream = record_prompt(model.transformer, tokens, transcoders.config), transcoders.config.stream
    width = record.embedding.shape[0]
    active = active_features(transcoders, record, len(tokens), 1)
    scale = np.asarray(record.mlp_scale[target_layer]) if stream in ("mlp_in", "mlp_norm") else np.ones(width)
    shape = (len(tokens) - 1, transcoders.num_features)
    both = []
    for at, factor in ((source_layer, scale), (target_layer, np.ones(width))):
        mine = active.nodes[:, 0] == at
        _, position, feature = active.nodes[mine].T
        values = (active.activations[mine] * factor[position]).astype(active.activations.dtype)
        both.append(csr_array((values, (position - 1, feature)), shape))
    return both[0], both[1]


def virtual_weights(
    transformer: Transformer,
    transcoders: Transcoders,
    source_layer: int,
    target_layer: int,
    *,
    top_k: int = 10,
    weighting: Weighting = "raw",
    together: Coactivation | None = None,
    block: int = 2048,
) -> VirtualWeights:
    """The strongest sources of every feature of a layer.

    Args:
        transformer: whose norm stands before the target. transcoders: of both layers.
        source_layer, target_layer: the source below the target; negative ones count from the end.
        top_k: sources kept of each target. weighting: raw, or by `together`.
        together: activations of both layers; needed for era and twera. block: features of a block.

    Raises:
        ValueError: layers that have no dictionary or stand the wrong way round, no co-activation where it is needed,
            or fewer features than `top_k`.
        NotFiniteError: a weight is not a number.
    """
    transcoders = fitted(transcoders, transformer.config, "the model")
    check_streams(transcoders)
    source_layer, target_layer = _layers(transcoders, transformer.config.num_layers, source_layer, target_layer)
    _check(transcoders, source_layer, target_layer, top_k, weighting, together)
    count = transcoders.num_features
    readers = _readers(transformer, transcoders, target_layer)
    writers = _writers(transcoders, source_layer, target_layer)
    for at, side, rows in ((target_layer, "reads", readers), (source_layer, "writes", writers)):
        _check_rows(transcoders, at, side, rows)
    kept = [
        _row_block(readers, writers, slice(start, min(start + block, count)), top_k, weighting, together, block)
        for start in range(0, count, block)
    ]
    weight, source = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return VirtualWeights(np.where(weight == 0, -1, source), weight)


def _layers(transcoders: Transcoders, count: int, source: int, target: int) -> tuple[int, int]:
    """Both layers from 0 on, each with a dictionary."""
    source = scalars.layer(source, count, "source_layer")
    target = scalars.layer(target, count, "target_layer")
    for at in (source, target):
        transcoders.config.index_of(at)
    return source, target


def _check(
    transcoders: Transcoders, source: int, target: int, top_k: int, weighting: Weighting, together: Coactivation | None
) -> None:
    if not source < target:
        raise ValueError(f"source_layer: {source} is not below target_layer {target}; features write upwards only")
    if not 1 <= top_k <= transcoders.num_features:
        raise ValueError(f"top_k: got {top_k}; needs 1 to {transcoders.num_features}, the number of features")
    if weighting not in ("raw", "era", "twera"):
        raise ValueError(f"weighting: got {weighting!r}; needs raw, era or twera")
    if (together is None) != (weighting == "raw"):
        raise ValueError(
            f"together: got {'none' if together is None else 'activations'} with weighting {weighting!r}; era and "
            "twera need the activations of both layers, raw none"
        )


def _check_rows(transcoders: Transcoders, at: int, side: str, rows: Float[Array, "F D"]) -> None:
    """Before anything is multiplied: in a list of the largest products a NaN may not show."""
    finite = np.asarray(jnp.isfinite(rows).all(axis=1))
    if not finite.all():
        arrays = ", ".join(broken_arrays(transcoders, at)) or "its product with the model's norm"
        raise NotFiniteError(
            f"transcoders: what feature {int(np.argmin(finite))} of layer {at} {side} is not finite; it is in {arrays}"
        )


def _readers(transformer: Transformer, transcoders: Transcoders, at: int) -> Float[Array, "F D"]:
    """Encoder columns as directions of the stream, but for the norm's scale."""
    place = transcoders.config.index_of(at)
    rows = transcoders.W_enc[...][place].T
    if transcoders.config.kind == "gated":
        rows = rows * jnp.exp(transcoders.elementwise_parameters()[0][place])[:, None].astype(rows.dtype)
    return read_in(layer(transformer.blocks, at), transcoders.config.stream, rows, jnp.ones((), rows.dtype))


def _writers(transcoders: Transcoders, source: int, target: int) -> Float[Array, "F D"]:
    """What each feature writes into the stream below the target's layer."""
    return jnp.sum(jnp.stack([transcoders.decoder_at(source, m) for m in transcoders.targets(source) if m < target]), 0)


def _row_block(
    readers: Array, writers: Array, rows: slice, top_k: int, weighting: Weighting, together: Coactivation | None,
    block: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(weight, source) of some targets: one block of sources after another joins the best so far."""
    targets = readers[rows]
    weight = jnp.zeros((len(targets), top_k), targets.dtype)
    source = jnp.full((len(targets), top_k), -1)
    for start in range(0, len(writers), block):
        columns = slice(start, min(start + block, len(writers)))
        factors = jnp.ones((), targets.dtype)
        if together is not None:
            factors = jnp.asarray(together.factors(rows, columns, weighting), targets.dtype)
        weight, source = _join(targets, writers[columns], factors, weight, source, start)
    found = np.asarray(weight)
    if not all_finite(found):
        raise NotFiniteError(
            f"virtual weights of feature {rows.start + int(np.argmin(np.isfinite(found).all(axis=1)))} are not finite: "
            "the transcoders' weights or activations are too large for their products"
        )
    return found, np.asarray(source)


@partial(jax.jit, donate_argnames=("weight", "source"))
@full_precision
def _join(
    targets: Float[Array, "t D"], writers: Float[Array, "s D"], factors: Array, weight: Array, source: Array, start: int
) -> tuple[Array, Array]:
    found = jnp.einsum("td,sd->ts", targets, writers.astype(targets.dtype)) * factors
    weights = jnp.concatenate([weight, found], axis=1)
    numbers = jnp.broadcast_to(start + jnp.arange(len(writers), dtype=source.dtype), found.shape)
    _, best = top_k(jnp.abs(weights), weight.shape[1])
    joined = jnp.concatenate([source, numbers], axis=1)
    return jnp.take_along_axis(weights, best, axis=1), jnp.take_along_axis(joined, best, axis=1)
