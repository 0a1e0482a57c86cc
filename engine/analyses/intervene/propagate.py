"""The pass under intervention: many rows of one prompt, from the first edited layer up.

The original MLPs run. At a layer's write stream, what its features would write more or less is added,

    mlp_out += sum (value - f) W_dec_f                  (cross-layer decoders: at every layer above as well)

so that whatever the transcoders do not explain stays in place. What else is kept are holds (`intervention.hold`):
`open`, `freeze_attention` and `constrained` by name. f is the present activation, or, where MLP outputs are held, the
clean one. Fully constrained, changes are exactly the direct edges of the attribution graph. All slots of a layer read
it unedited.

Shapes: B rows, T tokens (a bucket), E slots, D model, L layers, Q positions whose logits are wanted.
Cost: one forward pass of B rows over the layers above the first edited one; 4 D operations a slot and layer, of ranked
dictionaries (TopK) one encode of the edited positions at the edited layers.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.activations import elementwise
from causeway.engine.frozen.record import FrozenRecord
from causeway.engine.frozen.sources import Transcoders
from causeway.engine.intervention.edges import Edges
from causeway.engine.intervention.held import Held
from causeway.engine.intervention.instruments import Instruments, Observer
from causeway.engine.model.attention import attend_sequence, causal_mask, window_of
from causeway.engine.model.finite import seen, sums_finite
from causeway.engine.model.transformer import Transformer
from causeway.engine.model.upper import top, upper

# A value this many roundings of the pre-activation from the present one is the present one: numbers recorded by
# another program differ by that, and setting a feature to what it is must do nothing.
ROUNDINGS = 64


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Clean:
    """What all rows share. writes: layers to which features write. positions: where logits are wanted [Q]."""

    transformer: Transformer
    transcoders: Transcoders
    record: FrozenRecord
    held: Held
    writes: Bool[AnyArray, " L"]
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


def propagate(clean: Clean, slots: Slots, *, keep: bool) -> Propagated:
    """Run all rows; a program for `RowParallel.program`.

    Args:
        keep: whether to return the streams that features read.
    """
    config, record = clean.transformer.config, clean.record
    rows, width = slots.layer.shape[0], record.embedding.shape[0]
    columns = _gather(clean.transcoders, slots)
    read = record.streams[clean.transcoders.config.stream]
    x = jnp.broadcast_to(record.streams["resid_pre"][slots.first], (rows, width, config.d_model))
    kept = jnp.broadcast_to(read[:, None], (read.shape[0], rows, *read.shape[1:])) if keep else None
    pushes = jnp.zeros(slots.layer.shape, columns.encoder.dtype)

    def meet(index, carry):
        return _Meeting(clean, slots, columns, index, *carry)

    x, (pushes, kept) = upper(clean.transformer, x, slots.first, jnp.arange(width)[None], meet, (pushes, kept))
    last = Instruments(held=clean.held.at_top(clean.positions))
    at = jnp.asarray(clean.positions)
    logits = top(clean.transformer, x[:, at], Observer(last, config.num_layers, at[None]))
    return Propagated(logits, sums_finite(logits), kept, pushes)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Columns:
    """Encoder columns [B, E, D], biases and activation parameters [B, E]; decoder rows [B, E, O], or [L, B, E, O]."""

    encoder: Float[Array, "B E D"]
    bias: Float[Array, "B E"]
    parameters: tuple[Float[Array, "B E"], ...]
    decoder: Float[Array, "*L B E O"]


def _gather(transcoders: Transcoders, slots: Slots) -> _Columns:
    place, feature = transcoders.config.place(jnp.maximum(slots.layer, 0)), slots.feature
    wide = jnp.promote_types(transcoders.b_enc[...].dtype, slots.scale.dtype)
    return _Columns(
        transcoders.W_enc[...][place, :, feature].astype(wide),
        transcoders.b_enc[...][place, feature].astype(wide),
        tuple(a[place, feature].astype(wide) for a in transcoders.elementwise_parameters()),
        transcoders.rows(place, feature).astype(wide),
    )


class _Meeting(Observer):
    """One layer of one trace: beside what is held, pushes found where features are read, added where they write."""

    def __init__(self, clean: Clean, slots: Slots, columns: _Columns, index: Array, pushes: Array, kept: Array | None):
        positions = jnp.arange(clean.record.embedding.shape[0])[None]
        super().__init__(Instruments(held=clean.held), index, positions, clean.record.finite[None])
        self.clean, self.slots, self.columns, self.pushes, self.kept = clean, slots, columns, pushes, kept
        self.config = clean.transcoders.config

    @property
    def carry(self) -> tuple[Array, Array | None]:
        """Pushes, and the streams read where they are kept."""
        return self.pushes, self.kept if self.kept is None else self.kept.at[self.layer].set(self.read)

    def attend(self, q: Array, k: Array, v: Array) -> Float[Array, "B T H K"]:
        """Heads' outputs, by held patterns or by these."""
        config = self.clean.transformer.config
        mask = causal_mask(q.shape[1], window_of(config, self.layer))
        return attend_sequence(q, k, v, mask, config, self.clean.transformer.numerics, self)

    def __call__(self, stream: str, x: Float[Array, "..."], edges: Edges | None = None) -> Float[Array, "..."]:
        """The stream with what is held put back and what features write more or less added."""
        x = super().__call__(stream, x, edges)
        if stream == self.config.stream:
            self.read = x
            push = self._push(self.source(stream, x))
            self.pushes = jnp.where(self.slots.layer == self.layer, push, self.pushes)
        if stream != self.config.output_stream:
            return x
        x = self._written(x)
        seen(stream, self.layer, x, self.real, self.positions, edited=True)
        return x

    def _push(self, x: Float[Array, "B T D"]) -> Float[Array, "B E"]:
        """New value less the present one in the stream x that edits read."""
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
            f = self.clean.transcoders.encode_at(self.layer, source)
            if not all_of_them:
                return jnp.take_along_axis(f, slots.feature[..., None], axis=2)[..., 0]
            rows = jnp.arange(len(f))[:, None]
            return f[rows, slots.position, slots.feature]

        def nothing(_):
            return jnp.zeros(slots.layer.shape, x.dtype)

        return jax.lax.cond(jnp.any(slots.layer == self.layer), encode, nothing, x if all_of_them else read)

    def _written(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        pushes, decoder = self.pushes, self.columns.decoder
        if self.clean.transcoders.crosses:
            decoder = decoder[self.layer]
        else:
            pushes = jnp.where(self.slots.layer == self.layer, pushes, 0)
        pushes = jnp.where(jnp.asarray(self.clean.writes)[self.layer], pushes, 0)
        change = pushes[..., None] * decoder
        rows = jnp.arange(x.shape[0])[:, None]
        return x.astype(change.dtype).at[rows, self.slots.position].add(change).astype(x.dtype)
