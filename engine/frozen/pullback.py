"""Many cotangents pulled back through the frozen pass at once: attribution's inner loop.

A target is a vector r at (layer, position) of the stream that its reader sees: its pre-activation is r . stream there.
The adjoint of the frozen pass carries it down, and at every layer each writer v at (l, p) is read:

    A[target, writer] = <G_l[p], v>

Writers of a layer are read before that layer's targets are injected, so a feature never explains features of its own
layer. Logits are targets of layer L, injected at the top.

Rows (targets) of a program run together from the highest layer among them, traced, down to 0, over the first T'
positions, a static bucket: nothing above the highest target or after the last one can be reached.

Cost per row: (layers below it) * T' * (2 D H K + 2 D G K + 2 T' H K + 2 M D) operations.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.frozen.adjoint import Alone, FrozenAttention, adjoint_block, attention_adjoint
from causeway.engine.frozen.record import FrozenRecord
from causeway.engine.frozen.sources import Sources, Transcoders, layer_writers
from causeway.engine.model.transformer import Block, Transformer, layer


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Targets:
    """R directions of the stream: layer [R] (L for logits), position [R], vector [R, D]."""

    layer: Int[AnyArray, " R"]
    position: Int[AnyArray, " R"]
    vector: Float[AnyArray, "R D"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Scores:
    """Edges of R targets from every source.

    features: [L, T', R, M]. errors: [L, T', R]. embedding: [T', R].
    """

    features: Float[AnyArray, "L T R M"]
    errors: Float[AnyArray, "L T R"]
    embedding: Float[AnyArray, "T R"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Frozen:
    """What all targets of a prompt share."""

    transformer: Transformer
    dictionary: Transcoders
    record: FrozenRecord
    sources: Sources


def pullback(frozen: Frozen, targets: Targets, *, width: int, cut: bool = False, first: int = 0) -> Scores:
    """Read every source for every target; a program for `jax.jit` or `RowParallel.program`.

    Args:
        frozen: one prompt. targets: all of their positions are below `width`.
        width: T'. cut: whether an SAE's reconstruction and error are the only way through its stream, at positions
            from `first` on; those before have neither.
    """
    rows, count, sources = targets.layer.shape[0], frozen.transformer.config.num_layers, frozen.sources
    dtype, crossed = targets.vector.dtype, frozen.dictionary.crosses
    holds = sources.features.shape[2] > 0
    slots = (sources.features if holds else sources.ids).shape[2]
    features = jnp.zeros((width, rows, slots) if crossed else (count, width, rows, slots), dtype)
    errors = jnp.zeros((count, width, rows), dtype)

    def meet(index, carry):
        if holds:
            writers = sources.features[index, :width]
        else:
            # Writers of dictionaries that cross layers are always held.
            writers = layer_writers(frozen.dictionary, index, sources.ids[index, :width], sources.values[index, :width])
        here = (writers, sources.errors[index, :width], sources.residual[index, :width])
        return _Reader(frozen, targets, index, first if cut else None, sources=here, carry=carry)

    g, (features, errors) = descend(frozen.transformer, frozen.record, targets, width, meet, (features, errors))
    if crossed:
        features = jnp.moveaxis(features.reshape(width, rows, count, -1), 2, 0)
    return Scores(features, errors, jnp.einsum("prd,pd->pr", g, sources.embedding[:width].astype(g.dtype)))


def descend(
    transformer: Transformer, record: FrozenRecord, targets: Targets, width: int,
    meet: Callable[[Array, Any], "Meeting"], carry: Any, orders: int | None = None,
) -> tuple[Float[Array, "T R D"], Any]:  # fmt: skip
    """Walk the targets' cotangents from the highest layer among them down to the embedding.

    Args:
        transformer, record: the frozen pass of one prompt.
        width: T'; all target positions are below it.
        meet: makes a layer's meeting of its index and what is carried.
        orders: None: a row is the whole cotangent of its target. A number k: rows (order, target), orders 0 to k, are
            the parts of it that have passed so many attentions on the way down; those that have passed more are left
            out.
    """
    config, rows = transformer.config, targets.layer.shape[0]
    g = jnp.zeros((width, rows * (1 + (orders or 0)), config.d_model), targets.vector.dtype)
    g = inject(g, targets, config.num_layers)
    top = jnp.minimum(jnp.max(targets.layer), config.num_layers - 1)

    def body(step, state):
        g, carry = state
        index = top - step
        meeting, block = meet(index, carry), layer(transformer.blocks, index)
        frozen = FrozenAttention(
            record.pattern[index, :, :width, :width], record.attn_scale[index, :width],
            record.attn_post_scale[index, :width],
        )  # fmt: skip

        def attention(g: Float[Array, "T r D"], alone: Bool[Array, ""] | bool) -> Float[Array, "T r D"]:
            return attention_adjoint(block, frozen, g, config, meeting, Alone(alone, jnp.asarray(targets.position)))

        if orders is None:
            g = adjoint_block(g, config, meeting, partial(attention, alone=step == 0))
        else:
            g = adjoint_block(g, config, meeting, partial(_an_order_higher, rows=rows, attention=attention))
        return g, meeting.carry

    return jax.lax.fori_loop(0, top + 1, body, (g, carry))


def _an_order_higher(
    g: Float[Array, "T R D"], rows: int, attention: Callable[[Float[Array, "T r D"], bool], Float[Array, "T r D"]]
) -> Float[Array, "T R D"]:
    """What each order receives of the order below it; the first stands at the targets' positions alone."""
    parts = [jnp.zeros_like(g[:, :rows])]
    if g.shape[1] > rows:
        parts.append(attention(g[:, :rows], True))
    if g.shape[1] > 2 * rows:
        parts.append(attention(g[:, rows:-rows], False))
    return jnp.concatenate(parts, axis=1)


def inject(g: Float[Array, "T R D"], targets: Targets, layer: int | Array) -> Float[Array, "T R D"]:
    """The cotangent with the targets of a layer added, to the first rows."""
    return g.at[targets.position, jnp.arange(len(targets.layer))].add(_vectors(targets, layer))


def _vectors(targets: Targets, layer: int | Array) -> Float[Array, "R D"]:
    return jnp.where((targets.layer == layer)[:, None], targets.vector, 0)


class Meeting(Protocol):
    """One layer of a walk down: what the adjoint block calls at each stream, and what goes on to the layer below."""

    @property
    def carry(self) -> Any:
        """Goes on to the layer below."""

    def __call__(self, stream: str, g: Float[Array, "T R *D"]) -> Float[Array, "T R *D"]:
        """The cotangent to go on with."""


class Descent:
    """One layer of a pullback, called by the adjoint block at each stream: targets join, sources are read.

    `read(source, G)` is called with G at what features write (`features`), at what an SAE leaves over (`residual`) and
    at what MLPs write (`errors`). What a descent carries to the layer below is its `carry`.
    """

    carry: Any

    def __init__(self, frozen: Frozen, targets: Targets, index: Array, cut: int | None):
        self.frozen, self.targets, self.index, self.cut = frozen, targets, index, cut
        self.config = frozen.dictionary.config

    def read(self, source: str, g: Float[Array, "T R D"]) -> None:
        """Read the cotangent where something writes."""
        raise NotImplementedError

    def __call__(self, stream: str, g: Float[Array, "T R *D"]) -> Float[Array, "T R *D"]:
        """The cotangent to go on with."""
        if stream == self.config.output_stream:
            self.read("features", g)
        if stream == "resid_post" and not self.config.is_transcoder:
            self.read("residual", g)
            return self.inject(self.past_dictionary(g))
        if stream == "mlp_out":
            self.read("errors", g)
        if stream == "mlp_input" and self.config.is_transcoder:
            return self.inject(g + self.through_skip(g))
        return g

    def inject(self, g: Float[Array, "T R D"]) -> Float[Array, "T R D"]:
        """The cotangent with this layer's targets added."""
        return inject(g, self.targets, self.index)

    def is_cut(self, width: int) -> Bool[Array, " T"] | None:
        """At which positions a dictionary's stream ends here; a layer without one is not cut."""
        if self.cut is None:
            return None
        return jnp.isin(self.index, jnp.array(self.config.layers)) & (jnp.arange(width) >= self.cut)

    def past_dictionary(self, g: Float[Array, "T R D"]) -> Float[Array, "T R D"]:
        """What of the stream's cotangent goes on below an SAE."""
        cut = self.is_cut(g.shape[0])
        return g if cut is None else jnp.where(cut[:, None, None], 0, g)

    def through_skip(self, g: Float[Array, "T R D"]) -> Float[Array, "..."]:
        """What the skip connection hands to the MLP's input."""
        dictionary = self.frozen.dictionary
        if not hasattr(dictionary, "W_skip"):
            return jnp.zeros((), g.dtype)
        back = jnp.einsum("tro,do->trd", g, dictionary.W_skip[...][self.config.place(self.index)].astype(g.dtype))
        block = layer(self.frozen.transformer.blocks, self.index)
        scale = self.frozen.record.mlp_scale[self.index, : g.shape[0]]
        return read_in(block, self.config.stream, back, scale[:, None, None].astype(g.dtype))


class _Reader(Descent):
    """Reads one layer's sources for all targets."""

    def __init__(self, *place, sources: tuple[Array, ...], carry: tuple[Array, Array]):
        super().__init__(*place)
        self.sources, self.below = sources, carry
        self.errors: Array | None = None

    @property
    def carry(self) -> tuple[Array, Array]:
        """Scores of features and errors so far."""
        features, errors = self.below
        # A feature that writes to several layers has one edge: the sum over what it writes.
        crossed = self.frozen.dictionary.crosses
        features = features + self.features if crossed else features.at[self.index].set(self.features)
        return features, errors.at[self.index].set(self.errors)

    def read(self, source: str, g: Float[Array, "T R D"]) -> None:
        """Inner products with what is written there."""
        writers, written, left = self.sources
        if source == "features":
            self.features = jnp.einsum("prd,pmd->prm", g, writers.astype(g.dtype))
        else:
            found = jnp.einsum("prd,pd->pr", g, (left if source == "residual" else written).astype(g.dtype))
            self.errors = found if self.errors is None else found + self.errors


def read_in(block: Block, stream: str, vector: Float[Array, "*rows D"], scale: Array) -> Float[Array, "*rows D"]:
    """The cotangent of the residual stream from that of the stream a dictionary reads."""
    norm = block.mlp_norm
    if stream == "mlp_in":
        return norm.centre(vector * norm.multiplier().astype(vector.dtype)) * scale
    return norm.centre(vector) * scale if stream == "mlp_norm" else vector


@jax.jit
def feature_targets(frozen: Frozen, nodes: Int[Array, "R 3"]) -> Targets:
    """Encoder columns of features as directions of the residual stream, with the norm before them frozen."""
    dictionary, record = frozen.dictionary, frozen.record
    layers, positions, features = nodes[:, 0], nodes[:, 1], nodes[:, 2]
    place = dictionary.config.place(layers)
    dtype = frozen.transformer.numerics.accumulate_dtype
    columns = dictionary.W_enc[...][place, :, features].astype(dtype)
    if dictionary.config.kind == "gated":
        log_scale = dictionary.elementwise_parameters()[0]
        columns = columns * jnp.exp(log_scale[place, features]).astype(dtype)[:, None]
    scale = record.mlp_scale[layers, positions].astype(dtype)[:, None]

    def one(index, column, at):
        return read_in(layer(frozen.transformer.blocks, index), dictionary.config.stream, column, at)

    return Targets(layers, positions, jax.vmap(one)(layers, columns, scale))


def logit_targets(
    transformer: Transformer, record: FrozenRecord, vectors: Float[Array, "R D"], position: Int[Array, ""]
) -> Targets:
    """Directions of the final norm's output (columns of the unembedding) as directions of the last stream."""
    norm, rows = transformer.final_norm, vectors.shape[0]
    vectors = norm.centre(vectors * norm.multiplier().astype(vectors.dtype))
    vectors = vectors * record.final_scale[position].astype(vectors.dtype)
    return Targets(jnp.full(rows, transformer.config.num_layers), jnp.full(rows, position), vectors)
