"""The pass under intervention: many rows of one prompt, from the first edited layer up.

The original MLPs run. At a layer's write stream, what its features would write more or less is added,

    mlp_out += sum (value - f) W_dec_f                  (cross-layer decoders: at every layer above as well)

so that whatever the transcoders do not explain stays in place. What else is held is the mode:

    mode               held at the clean pass                                   f in the difference
    open               nothing                                                  present activation
    freeze_attention   attention patterns                                       present activation
    constrained        patterns, norm denominators, MLP outputs (skip           clean activation
                       connections pass changes on)

`constrained` holds all layers, or those of a `Holding` (circuits/held.py). Fully constrained, changes are exactly the
direct edges of the attribution graph. All slots of a layer read it unedited.
Below the first edited layer a row is the clean pass, and starts from its recorded stream.

Shapes: B rows, T tokens (a bucket), E slots, D model, L layers, Q positions whose logits are wanted.
Cost: one forward pass of B rows over the layers above the first edited one; 4 D operations a slot and layer, of ranked
dictionaries (TopK) one encode of the edited positions at the edited layers.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.analyses.intervene.held import HeldNorm, Here, Holding, mix, with_held_norms
from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.activations import elementwise
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import take
from causeway.engine.frozen.record import FrozenRecord
from causeway.engine.frozen.sources import Transcoders, places
from causeway.engine.model.attention import attend_sequence, causal_mask, window_of
from causeway.engine.model.block import apply_block
from causeway.engine.model.finite import seen, sums_finite
from causeway.engine.model.transformer import Block, Transformer, layer

Mode = Literal["open", "freeze_attention", "constrained"]
MODES: tuple[Mode, ...] = ("open", "freeze_attention", "constrained")
# A value this many roundings of the pre-activation from the present one is the present one: numbers recorded by
# another program differ by that, and setting a feature to what it is must do nothing.
ROUNDINGS = 64


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Clean:
    """What all rows share. holding: what `constrained` holds. positions: where logits are wanted [Q]."""

    transformer: Transformer
    transcoders: Transcoders
    record: FrozenRecord
    holding: Holding
    positions: Int[AnyArray, " Q"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Slots:
    """Rows of slots [B, E]; `first`: the lowest edited layer of any of them, a scalar."""

    layer: Int[AnyArray, "B E"]
    position: Int[AnyArray, "B E"]
    feature: Int[AnyArray, "B E"]
    scale: Float[AnyArray, "B E"]
    shift: Float[AnyArray, "B E"]
    first: Int[AnyArray, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Propagated:
    """logits: [B, Q, V]. finite: whether a row's have a finite sum [B]. streams: what the transcoders read,
    [L, B, T, D], where kept. pushes: value - f [B, E]."""

    logits: Float[Array, "B Q V"]
    finite: Bool[Array, " B"]
    streams: Float[Array, "L B T D"] | None
    pushes: Float[Array, "B E"]


def propagate(clean: Clean, slots: Slots, *, mode: Mode, whole: bool, keep: bool) -> Propagated:
    """Run all rows; a program for `RowParallel.program`.

    Args:
        mode: what is held. whole: whether `constrained` holds everything. keep: whether to return streams.
    """
    config, record = clean.transformer.config, clean.record
    rows, width = slots.layer.shape[0], record.embedding.shape[0]
    columns = _gather(clean.transcoders, slots)
    read = record.streams[clean.transcoders.config.stream]
    x = jnp.broadcast_to(record.streams["resid_pre"][slots.first], (rows, width, config.d_model))
    kept = jnp.broadcast_to(read[:, None], (read.shape[0], rows, *read.shape[1:])) if keep else None
    pushes = jnp.zeros(slots.layer.shape, columns.encoder.dtype)
    where = jnp.arange(width)[None]

    def body(index, carry):
        x, pushes, kept = carry
        meeting = _Meeting(clean, slots, columns, index, pushes, mode, whole)
        x = apply_block(meeting.block(), x, where, config, meeting.attend, meeting.observe)
        return x, meeting.pushes, kept if kept is None else kept.at[index].set(meeting.read)

    x, pushes, kept = jax.lax.fori_loop(slots.first, config.num_layers, body, (x, pushes, kept))
    logits = _logits(clean, x, mode, whole)
    return Propagated(logits, sums_finite(logits), kept, pushes)


def _logits(clean: Clean, x: Float[Array, "B T D"], mode: Mode, whole: bool) -> Float[Array, "B Q V"]:
    norm, at = clean.transformer.final_norm, clean.positions
    x = x[:, at]
    final = HeldNorm(norm, clean.record.final_scale[at], True if whole else clean.holding.norms[-1])
    normalised = final(x) if mode == "constrained" else norm(x)
    logits, count = clean.transformer.logits(normalised), clean.transformer.config.num_layers
    seen("final_norm", count, normalised, positions=at)
    seen("logits", count, logits, positions=at)
    return logits


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Columns:
    """Encoder columns [B, E, D], biases and activation parameters [B, E]; decoder rows [B, E, O], or [L, B, E, O]."""

    encoder: Float[Array, "B E D"]
    bias: Float[Array, "B E"]
    parameters: tuple[Float[Array, "B E"], ...]
    decoder: Float[Array, "*L B E O"]


def _gather(transcoders: Transcoders, slots: Slots) -> _Columns:
    place, feature = places(transcoders.config)[jnp.maximum(slots.layer, 0)], slots.feature
    wide = jnp.promote_types(transcoders.b_enc[...].dtype, slots.scale.dtype)
    if isinstance(transcoders, CrossLayerTranscoder):
        given: tuple[Array, ...] = (transcoders.threshold[...],) if hasattr(transcoders, "threshold") else ()
        decoder = _crossing(transcoders, slots)
    else:
        given = transcoders.elementwise_parameters()
        decoder = transcoders.W_dec[...][place, feature]
    return _Columns(
        transcoders.W_enc[...][place, :, feature].astype(wide),
        transcoders.b_enc[...][place, feature].astype(wide),
        tuple(a[place, feature].astype(wide) for a in given),
        decoder.astype(wide),
    )


def _crossing(transcoders: CrossLayerTranscoder, slots: Slots) -> Float[Array, "L B E O"]:
    """What each slot's feature writes to every layer; zeros below its own."""
    count = transcoders.num_layers
    out = jnp.zeros((count, *slots.layer.shape, transcoders.d_out), transcoders.b_dec[...].dtype)
    for own in range(count):
        rows = jnp.moveaxis(transcoders.W_dec[own][...][slots.feature], 2, 0)
        out = out.at[own:].add(jnp.where((slots.layer == own)[None, :, :, None], rows, 0))
    return out


class _Meeting:
    """One layer of one trace: what `apply_block` calls at each stream."""

    def __init__(
        self, clean: Clean, slots: Slots, columns: _Columns, index: Array, pushes: Array, mode: Mode, whole: bool
    ):
        self.clean, self.slots, self.columns, self.index, self.pushes = clean, slots, columns, index, pushes
        self.mode, self.constrained = mode, mode == "constrained"
        self.whole = whole
        self.config = clean.transcoders.config

    def here(self, held: Bool[AnyArray, "..."]) -> Here:
        """Whether this layer is among those held; known while tracing where all are."""
        return True if self.whole else jnp.asarray(held)[self.index]

    def block(self) -> Block:
        """This layer's block, its norms held where the mode holds them."""
        own = layer(self.clean.transformer.blocks, self.index)
        if not self.constrained:
            return own
        return with_held_norms(own, self.clean.record, self.index, self.here(self.clean.holding.norms))

    def attend(self, q: Array, k: Array, v: Array) -> Float[Array, "B T H K"]:
        """Heads' outputs, by held patterns or by these."""
        config = self.clean.transformer.config
        if self.mode == "open":
            return self._attend(q, k, v)
        held = mix(self.clean.record.pattern[self.index], v, config)
        if not self.constrained or self.whole:
            return held
        return jnp.where(self.here(self.clean.holding.patterns), held, self._attend(q, k, v))

    def _attend(self, q: Array, k: Array, v: Array) -> Float[Array, "B T H K"]:
        config = self.clean.transformer.config
        mask = causal_mask(q.shape[1], window_of(config, self.index))
        return attend_sequence(q, k, v, mask, config, self.clean.transformer.numerics)[0]

    def observe(self, stream: str, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Hold MLP outputs, find this layer's pushes where its features are read, add them where they write."""
        self._show(stream, x)
        if stream == "mlp_out" and self.constrained:
            held = self._held_output(x)
            x = held if self.whole else jnp.where(self.here(self.clean.holding.outputs), held, x)
        if stream == self.config.stream:
            self.read = x
            self.pushes = jnp.where(self.slots.layer == self.index, self._push(x), self.pushes)
        if stream != self.config.output_stream:
            return x
        x = self._written(x)
        self._show(stream, x, edited=True)
        return x

    def _show(self, stream: str, x: Float[Array, "B T *D"], edited: bool = False) -> None:
        seen(stream, self.index, x, self.clean.record.finite[None], jnp.arange(x.shape[1])[None], edited)

    def _held_output(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """The clean output, and what the skip connection makes of a changed input."""
        held = jnp.broadcast_to(self.clean.record.streams["mlp_out"][self.index], x.shape)
        transcoders = self.clean.transcoders
        if not (hasattr(transcoders, "W_skip") and self.config.is_transcoder):
            return held
        change = self.read - self.clean.record.streams[self.config.stream][self.index]
        skip = transcoders.W_skip[...][places(self.config)[self.index]]
        return (held + jnp.einsum("btd,do->bto", change, skip.astype(change.dtype))).astype(x.dtype)

    def _push(self, x: Float[Array, "B T D"]) -> Float[Array, "B E"]:
        """New value less the present one, or in `constrained` the clean one."""
        if self.constrained:
            x = jnp.broadcast_to(self.clean.record.streams[self.config.stream][self.index], x.shape)
        x = x.astype(self.columns.encoder.dtype)
        read = jnp.take_along_axis(x, self.slots.position[..., None], axis=1)
        before = self._ranked(x, read) if self.config.ranked else self._elementwise(read)
        push = self.slots.scale.astype(before.dtype) * before + self.slots.shift.astype(before.dtype) - before
        size = jnp.linalg.norm(read, axis=-1) * jnp.linalg.norm(self.columns.encoder, axis=-1)
        return jnp.where(jnp.abs(push) <= ROUNDINGS * jnp.finfo(before.dtype).eps * size, 0, push)

    def _elementwise(self, read: Float[Array, "B E D"]) -> Float[Array, "B E"]:
        p = jnp.einsum("bed,bed->be", read, self.columns.encoder) + self.columns.bias
        return elementwise(self.config.kind, p, self.columns.parameters)

    def _ranked(self, x: Float[Array, "B T D"], read: Float[Array, "B E D"]) -> Float[Array, "B E"]:
        """Through a full encode, of the edited positions or of all, whichever are fewer."""
        slots, all_of_them = self.slots, read.shape[1] > x.shape[1]

        def encode(source):
            f = _encode(self.clean.transcoders, self.index, source)
            if not all_of_them:
                return jnp.take_along_axis(f, slots.feature[..., None], axis=2)[..., 0]
            rows = jnp.arange(len(f))[:, None]
            return f[rows, slots.position, slots.feature]

        def nothing(_):
            return jnp.zeros(slots.layer.shape, x.dtype)

        return jax.lax.cond(jnp.any(slots.layer == self.index), encode, nothing, x if all_of_them else read)

    def _written(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        pushes, decoder = self.pushes, self.columns.decoder
        if isinstance(self.clean.transcoders, CrossLayerTranscoder):
            decoder = decoder[self.index]
        else:
            pushes = jnp.where(self.slots.layer == self.index, pushes, 0)
        if self.constrained and not self.whole:
            pushes = jnp.where(self.here(self.clean.holding.writes), pushes, 0)
        change = pushes[..., None] * decoder
        rows = jnp.arange(x.shape[0])[:, None]
        return x.astype(change.dtype).at[rows, self.slots.position].add(change).astype(x.dtype)


def _encode(transcoders: Transcoders, index: Array, x: Float[Array, "B T D"]) -> Float[Array, "B T F"]:
    if isinstance(transcoders, CrossLayerTranscoder):
        return transcoders.encode(index, x)
    return take(transcoders, places(transcoders.config)[index]).encode(x)
