"""Edits of dictionary features.

`bind_features` gathers, once and before any loop over layers or steps, everything a row's slots need: encoder columns,
activation parameters and decoder rows, [B, E, D]. Applying an elementwise edit then costs 4 D operations a slot and
token. Families that need a whole dictionary (`replace`, and features of ranked dictionaries) keep the stack and one
traced position in it; they run inside `lax.cond`, at their own layer alone. O is the width of the stream written.

Features of cross-layer transcoders write to the layers above as well: their rows are [L, B, E, O], zeros below their
own layer, and what they add to their values [B, T, E] is carried from layer to layer.

Pinned slots are rows of one token, [B E, 1, D] (`pinned`); of ranked dictionaries they may be of several layers.
"""

import dataclasses
from functools import partial
from typing import NamedTuple, TypeGuard, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.dictionary.activations import elementwise
from causeway.engine.dictionary.columns import FeatureColumns
from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.dictionary import Dictionary, take
from causeway.engine.dictionary.input_norm import normalise, scale
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.changes import Active, Change, Read, Stream, Values, difference, push, wide
from causeway.engine.intervention.edits import EMPTY, Edit
from causeway.engine.intervention.pinned import tokens_at


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundFeature:
    """An edit of features that can be read alone: their encoder columns, and the rows to write.

    norms: of the encoder columns, where the edit allows for roundings.
    """

    edit: Edit
    columns: FeatureColumns
    decoder: Float[Array, "*L B E O"]
    norms: Float[Array, "B E"] | None

    @property
    def reads(self) -> str:
        """The stream read."""
        return self.columns.config.stream

    def __call__(
        self, active: Active, x: Stream, layer: int | Array, before: Values | None = None, source: Stream | None = None
    ) -> tuple[Change, Values]:
        """The change, and each slot's feature value before: that in x, or, where it is given, in `source`."""
        before = self.values(x, layer) if before is None else before
        moved, x = self.moved(active, x if source is None else source, before), wide(x)
        return Change(in_stream_units(self.columns.config, push(moved, self.decoder, x), x)), before

    def moved(self, active: Active, x: Stream, before: Values) -> Values:
        """What each slot adds to its value: nothing where that is within the roundings allowed for."""
        moved = difference(self.edit, active, before)
        if self.norms is None:
            return moved
        size = jnp.linalg.norm(normalise(self.columns.config.input_norm, wide(x)), axis=-1, keepdims=True)
        least = self.edit.spec.roundings * jnp.finfo(size.dtype).eps * size * self.norms[:, None]
        return jnp.where(jnp.abs(moved) <= least, 0, moved)

    def values(self, x: Stream, layer: int | Array, at: Int[Array, "_ E"] | None = None) -> Read:
        """Each slot's feature value; of pinned ones at their places in x."""
        columns, x = self.columns, wide(x if at is None else tokens_at(x, at))
        y = normalise(columns.config.input_norm, x)
        p = jnp.einsum("btd,bed->bte", y, columns.encoder.astype(x.dtype)) + columns.bias[:, None].astype(x.dtype)
        return elementwise(columns.kind, p, tuple(a[:, None] for a in columns.parameters))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundRanked(BoundFeature):
    """Pinned slots of a ranked dictionary: all features of their tokens are encoded, at the layers that have slots."""

    dictionary: InMemory

    def values(self, x: Stream, layer: int | Array, at: Int[Array, "_ E"] | None = None) -> Read:
        """Each slot's feature value; zeros at layers without slots. All of x is encoded where that is less."""
        assert at is not None
        read, slot = tokens_at(x, at), jnp.arange(at.size)
        if at.shape[1] > x.shape[1]:
            read = x.reshape(-1, 1, *x.shape[2:])
            slot = (jnp.arange(len(x))[:, None] * x.shape[1] + jnp.minimum(at, x.shape[1] - 1)).reshape(-1)
        feature = self.edit.feature[:, 0]
        here = lambda y: self.dictionary.encode_at(jnp.asarray(layer), wide(y))[slot, 0, feature][:, None, None]  # noqa: E731
        shape = jax.eval_shape(here, read)
        nothing = lambda _: jnp.zeros(shape.shape, shape.dtype)  # noqa: E731
        return jax.lax.cond(jnp.any(self.edit.layer == layer), here, nothing, read)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundDictionary:
    """An edit that needs every feature: ranked activations, and reconstruction.

    dictionary: the stack. index, layer: the position in it and the model layer, shared by all rows. decoder: the rows
    to write.
    """

    edit: Edit
    decoder: Float[Array, "*L B E O"]
    dictionary: InMemory
    index: Int[Array, ""]
    layer: Int[Array, ""]

    @property
    def reads(self) -> str:
        """The stream read."""
        return self.dictionary.config.stream

    def __call__(
        self, active: Active, x: Stream, layer: int | Array, before: Values | None = None, source: Stream | None = None
    ) -> tuple[Change, Values]:
        """The change, and each slot's feature value before, as of `BoundFeature`; nothing and zeros at other layers."""
        here = partial(self._here, active, before)
        nothing = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(here, x))
        return jax.lax.cond(self.layer == layer, here, lambda _: nothing, x)

    def values(self, x: Stream, layer: int | Array, at: Array | None = None) -> Read:
        """Each slot's feature value; zeros at other layers."""
        here = lambda y: self._chosen(self.dictionary.encode_at(layer, wide(y)))  # noqa: E731
        shape = jax.eval_shape(here, x)
        return jax.lax.cond(self.layer == layer, here, lambda _: jnp.zeros(shape.shape, shape.dtype), x)

    def moved(self, active: Active, x: Stream, before: Values) -> Values:
        """What each slot adds to its value."""
        return difference(self.edit, active, before)

    def _chosen(self, f: Float[Array, "B T F"]) -> Values:
        chosen = jnp.broadcast_to(self.edit.feature[:, None], (*f.shape[:2], self.edit.feature.shape[1]))
        return jnp.take_along_axis(f, chosen, axis=-1)

    def _here(self, active: Active, before: Values | None, x: Stream) -> tuple[Change, Values]:
        dictionary, x = take(cast(Dictionary, self.dictionary), self.index), wide(x)
        f = dictionary.encode(x)
        before = self._chosen(f) if before is None else before
        moved = push(difference(self.edit, active, before), self.decoder, x)
        moved = in_stream_units(dictionary.config, moved, x)
        if self.edit.spec.family == "feature" and dictionary.config.is_transcoder:
            return Change(moved), before
        # An SAE's own stream is added to here, inside the branch: outside it, XLA may skip the rounding of 16-bit x.
        rest = x if self.edit.spec.family == "feature" else dictionary.decode(f, x)
        return Change(rest + moved, jnp.any(active, axis=-1, keepdims=True)), before


class Start(NamedTuple):
    """Slots whose feature starts from its value in the clean stream, which the pass holds, and not from its own.

    clean: of one row where all rows share it and slots are pinned. slots: [B, E]; None: all.
    """

    clean: Stream
    slots: Bool[Array, "B E"] | None

    def values(
        self, bound: "BoundFeature | BoundDictionary", x: Stream, layer: int | Array, at: Array | None = None
    ) -> Read:
        """What each slot's feature starts from."""
        clean = bound.values(self.clean, layer, at)
        return clean if self.slots is None else jnp.where(self.slots[:, None], clean, bound.values(x, layer, at))


def bind_features(edit: Edit, dictionary: InMemory) -> BoundFeature | BoundDictionary:
    """Gather what the slots need of the dictionary."""
    stack_index = jnp.asarray(dictionary.config.place(jnp.maximum(edit.layer, 0)))
    columns = FeatureColumns(dictionary, stack_index, edit.feature)
    decoder = _matched_writer(dictionary.rows(stack_index, edit.writer), edit, columns.decoder)
    norms = jnp.linalg.norm(wide(columns.encoder), axis=-1) if edit.spec.roundings else None
    if edit.spec.pinned and dictionary.config.ranked:
        return BoundRanked(edit, columns, decoder, norms, dictionary)
    if not edit.spec.one_layer(dictionary):
        return BoundFeature(edit, columns, decoder, norms)
    index = jnp.max(jnp.where(edit.layer == EMPTY, 0, stack_index))
    return BoundDictionary(edit, decoder, dictionary, index, jnp.max(edit.layer))


def _matched_writer(
    written: Float[Array, "*L B E O"], edit: Edit, own: Float[Array, "*L B E O"]
) -> Float[Array, "*L B E O"]:
    """Decoder rows to write, rescaled to the norm of the edited feature's own rows (a factor of 1 for itself)."""
    own_norm, norm = (jnp.linalg.norm(_side_by_side(rows), axis=-1, keepdims=True) for rows in (own, written))
    return jnp.where((edit.writer == edit.feature)[..., None], own, written * (own_norm / norm))


def _side_by_side(rows: Float[Array, "*L B E O"]) -> Float[Array, "B E _"]:
    """A slot's rows in float32, those of several layers as one."""
    rows = rows.astype(jnp.float32)
    return rows if rows.ndim == 3 else jnp.moveaxis(rows, 0, -2).reshape(*rows.shape[1:3], -1)


def crosses(bound: object) -> TypeGuard[BoundFeature | BoundDictionary]:
    """Whether an edit writes to the layers above the one it reads, as features of cross-layer transcoders do."""
    return isinstance(bound, BoundFeature | BoundDictionary) and bound.decoder.ndim == 4


def in_stream_units(config: DictionaryConfig, push: Float[Array, "*L B T O"], x: Stream) -> Float[Array, "*L B T O"]:
    """What is added where the dictionary undoes a norm of its input x: the push, in the units x is in."""
    return push * scale(config.input_norm, x) if config.restores else push
