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
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.analyses.intervene.held import Here, Holding
from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.activations import elementwise
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import take
from causeway.engine.frozen.record import FrozenRecord
from causeway.engine.frozen.sources import Transcoders, places
from causeway.engine.model.attention import attend_sequence, causal_mask, window_of
from causeway.engine.model.finite import seen, sums_finite
from causeway.engine.model.transformer import Transformer
from causeway.engine.model.upper import top, upper

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

    def meet(index, carry):
        return _Meeting(clean, slots, columns, mode, whole, index, *carry)

    positions = jnp.arange(width)[None]
    x, (pushes, kept) = upper(clean.transformer, x, slots.first, positions, meet, (pushes, kept))
    logits = top(clean.transformer, x[:, clean.positions], partial(_at_top, clean, mode, whole))
    return Propagated(logits, sums_finite(logits), kept, pushes)


def _at_top(clean: Clean, mode: Mode, whole: bool, stream: str, x: Array) -> Array:
    """What the streams above the last block go on as."""
    if stream != "final_scale":
        seen(stream, clean.transformer.config.num_layers, x, positions=clean.positions)
        return x
    held = clean.record.final_scale[clean.positions]
    return jnp.where(True if whole else clean.holding.norms[-1], held, x) if mode == "constrained" else x


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
        self, clean: Clean, slots: Slots, columns: _Columns, mode: Mode, whole: bool, index: Array, pushes: Array,
        kept: Array | None,
    ):  # fmt: skip
        self.clean, self.slots, self.columns, self.index, self.pushes = clean, slots, columns, index, pushes
        self.mode, self.constrained, self.kept = mode, mode == "constrained", kept
        self.whole = whole
        self.config = clean.transcoders.config
        record = clean.record
        self.scales = {
            "attn_scale": record.attn_scale, "attn_post_scale": record.attn_post_scale, "mlp_scale": record.mlp_scale
        }  # fmt: skip

    @property
    def carry(self) -> tuple[Array, Array | None]:
        """Pushes, and the streams read where they are kept."""
        return self.pushes, self.kept if self.kept is None else self.kept.at[self.index].set(self.read)

    def here(self, held: Bool[AnyArray, "..."]) -> Here:
        """Whether this layer is among those held; known while tracing where all are."""
        return True if self.whole else jnp.asarray(held)[self.index]

    def attend(self, q: Array, k: Array, v: Array) -> Float[Array, "B T H K"]:
        """Heads' outputs, by held patterns or by these."""
        config = self.clean.transformer.config
        mask = causal_mask(q.shape[1], window_of(config, self.index))
        return attend_sequence(q, k, v, mask, config, self.clean.transformer.numerics, self)

    def _held(self, held: Array, layers: Bool[AnyArray, "..."], own: Array) -> Array:
        """What was recorded in the layers that hold it, of one row for all."""
        return held if self.whole or not self.constrained else jnp.where(self.here(layers), held, own)

    def __call__(self, stream: str, x: Float[Array, "B T *D"]) -> Float[Array, "B T *D"]:
        """Hold patterns, norms and MLP outputs, find this layer's pushes where its features are read, add them where
        they write."""
        holding = self.clean.holding
        if stream in self.scales:
            held = self.scales[stream][self.index][None]
            return self._held(held, holding.norms, x) if self.constrained else x
        if stream == "attn_pattern":
            held = self.clean.record.pattern[self.index][None]
            return x if self.mode == "open" else self._held(held, holding.patterns, x)
        self._show(stream, x)
        if stream == "mlp_out" and self.constrained:
            x = self._held(self._held_output(x), holding.outputs, x)
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
