"""How an edit changes a stream, inside a compiled pass.

An edit reads one stream and writes one, which for all but transcoders is the same: `read_edit` makes a `Change` of
what it reads, `write_edits` carries all changes of a stream out where it passes.

`bind` gathers, once and before any loop over layers or steps, everything a row's slots need: encoder columns,
activation parameters and decoder rows, [B, E, D]. Applying an elementwise edit then costs 4 D operations a slot and
token. Families that need a whole dictionary (`replace`, and features of ranked dictionaries) keep the stack and one
traced position in it; they run inside `lax.cond`, at their own layer alone.

Streams are [B, T, D], heads [B, T, H, K] laid side by side first; positions are [B, T], or [1, T] when the rows share
them. O is the width of the stream written.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.activations import elementwise
from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.dictionary import Dictionary, FeatureColumns, take
from causeway.engine.dictionary.input_norm import normalise, scale
from causeway.engine.intervention.edits import EMPTY, Edit, dictionary_of, vectors_of
from causeway.engine.intervention.operations import new_value
from causeway.engine.intervention.sites import side_by_side

Stream = Float[Array, "B T D"]
Values = Float[Array, "B T E"]
Active = Bool[Array, "B T E"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EditReport:
    """What an edit did at each token, all [B, T, E]; zeros where it did not act.

    before: the edited quantity in the unedited stream. after: the value it was set to. applied: whether it acted.
    """

    before: Float[AnyArray, "B T E"]
    after: Float[AnyArray, "B T E"]
    applied: Bool[AnyArray, "B T E"]

    def __add__(self, other: "EditReport") -> "EditReport":
        """Reports of two layers: a slot acts in one layer alone."""
        return EditReport(self.before + other.before, self.after + other.after, self.applied | other.applied)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Change:
    """What an edit makes of the stream it writes: `value` is added, or stands in its place where `replaces` is true."""

    value: Float[Array, "B T O"]
    replaces: Bool[Array, "B T 1"] | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundVector:
    """An edit of components along vectors."""

    edit: Edit
    vectors: Float[AnyArray, "B E D"]

    @property
    def reads(self) -> str:
        """The stream read."""
        return self.edit.spec.stream

    def __call__(self, active: Active, x: Stream, layer: int | Array) -> tuple[Change, Values]:
        """The change, and each slot's component before."""
        v, x = self.vectors, _wide(x)
        before = jnp.einsum("btd,bed->bte", x, v.astype(x.dtype)) / jnp.sum(v * v, axis=-1)[:, None]
        return Change(_push(_difference(self.edit, active, before), v, x)), before


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundSwap:
    """An edit that puts whole vectors in the stream's place."""

    edit: Edit
    vectors: Float[AnyArray, "B E D"]

    @property
    def reads(self) -> str:
        """The stream read."""
        return self.edit.spec.stream

    def __call__(self, active: Active, x: Stream, layer: int | Array) -> tuple[Change, Values]:
        """The change; a whole vector has no value to report."""
        # At most one slot acts at a position, so that a sum over slots is that slot's change.
        keep = jnp.sum(jnp.where(active, self.edit.scale[:, None] - 1, 0), axis=-1, keepdims=True)
        put = jnp.where(active, self.edit.shift[:, None], 0)
        change = keep * x + jnp.einsum("bte,bed->btd", put, self.vectors.astype(put.dtype))
        return Change(change.astype(x.dtype)), jnp.zeros(active.shape, x.dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundFeature:
    """An edit of features that can be read alone: their encoder columns, and the rows [B, E, O] to write."""

    edit: Edit
    columns: FeatureColumns
    decoder: Float[Array, "B E O"]

    @property
    def reads(self) -> str:
        """The stream read."""
        return self.columns.config.stream

    def __call__(self, active: Active, x: Stream, layer: int | Array) -> tuple[Change, Values]:
        """The change, and each slot's feature value before."""
        columns, x = self.columns, _wide(x)
        y = normalise(columns.config.input_norm, x)
        p = jnp.einsum("btd,bed->bte", y, columns.encoder.astype(x.dtype)) + columns.bias[:, None].astype(x.dtype)
        before = elementwise(columns.kind, p, tuple(a[:, None] for a in columns.parameters))
        push = _push(_difference(self.edit, active, before), self.decoder, x)
        return Change(_in_stream_units(columns.config, push, x)), before


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundDictionary:
    """An edit that needs every feature: ranked activations, and reconstruction.

    dictionary: the stack. index, layer: the position in it and the model layer, shared by all rows. decoder: the rows
    to write.
    """

    edit: Edit
    decoder: Float[Array, "B E O"]
    dictionary: Dictionary
    index: Int[Array, ""]
    layer: Int[Array, ""]

    @property
    def reads(self) -> str:
        """The stream read."""
        return self.dictionary.config.stream

    def __call__(self, active: Active, x: Stream, layer: int | Array) -> tuple[Change, Values]:
        """The change, and each slot's feature value before; nothing and zeros at other layers."""
        shapes = jax.eval_shape(partial(self._here, active), x)
        nothing = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return jax.lax.cond(self.layer == layer, partial(self._here, active), lambda _: nothing, x)

    def _here(self, active: Active, x: Stream) -> tuple[Change, Values]:
        dictionary, x = take(self.dictionary, self.index), _wide(x)
        f = dictionary.encode(x)
        chosen = jnp.broadcast_to(self.edit.feature[:, None], active.shape)
        before = jnp.take_along_axis(f, chosen, axis=-1)
        push = _push(_difference(self.edit, active, before), self.decoder, x)
        push = _in_stream_units(dictionary.config, push, x)
        if self.edit.spec.family == "feature" and dictionary.config.is_transcoder:
            return Change(push), before
        # An SAE's own stream is added to here, inside the branch: outside it, XLA may skip the rounding of 16-bit x.
        rest = x if self.edit.spec.family == "feature" else dictionary.decode(f, x)
        return Change(rest + push, jnp.any(active, axis=-1, keepdims=True)), before


BoundEdit = BoundVector | BoundSwap | BoundFeature | BoundDictionary


def bind(edit: Edit, dictionary: Dictionary | None = None) -> BoundEdit:
    """Gather what the slots need; `check_edits` has been passed.

    Raises:
        ValueError: the vectors or the dictionary that the family needs are missing.
    """
    spec, edit = edit.spec, jax.tree.map(jnp.asarray, edit)
    if spec.family == "swap":
        return BoundSwap(edit, vectors_of(edit))
    if spec.family == "vector":
        return BoundVector(edit, vectors_of(edit))
    dictionary = dictionary_of(dictionary, spec)
    table = np.zeros(max(dictionary.config.layers) + 1, np.int32)
    table[list(dictionary.config.layers)] = np.arange(len(dictionary.config.layers))
    stack_index = jnp.asarray(table)[jnp.clip(edit.layer, 0, len(table) - 1)]
    columns = FeatureColumns(dictionary, stack_index, edit.feature)
    decoder = _matched_writer(dictionary, stack_index, edit, columns.decoder)
    if not spec.one_layer(dictionary):
        return BoundFeature(edit, columns, decoder)
    index = jnp.max(jnp.where(edit.layer == EMPTY, 0, stack_index))
    return BoundDictionary(edit, decoder, dictionary, index, jnp.max(edit.layer))


def bind_all(edits: tuple[Edit, ...], dictionary: Dictionary | None) -> tuple[BoundEdit, ...]:
    """`bind` of each."""
    return tuple(bind(edit, dictionary) for edit in edits)


def _matched_writer(
    dictionary: Dictionary, index: Int[Array, "B E"], edit: Edit, own: Float[Array, "B E D"]
) -> Float[Array, "B E D"]:
    """Decoder rows to write, rescaled to the norm of the edited feature's own row (a factor of 1 for itself)."""
    written = dictionary.W_dec[...][index, edit.writer]
    own_norm = jnp.linalg.norm(own.astype(jnp.float32), axis=-1, keepdims=True)
    norm = jnp.linalg.norm(written.astype(jnp.float32), axis=-1, keepdims=True)
    return jnp.where((edit.writer == edit.feature)[..., None], own, written * (own_norm / norm))


def read_edit(
    bound: BoundEdit, x: Float[Array, "B T *D"], layer: int | Array, positions: Int[Array, "rows T"]
) -> tuple[Change, EditReport]:
    """What an edit makes of the stream it reads; all slots read it unedited and their changes add."""
    e, at = bound.edit, positions[..., None]
    active = (e.layer == layer)[:, None] & (e.start[:, None] <= at) & (at < e.stop[:, None])
    change, before = bound(active, side_by_side(x), layer)
    after = _new(e, before)
    return change, EditReport(jnp.where(active, before, 0), jnp.where(active, after, 0), active)


def write_edits(changes: list[Change], x: Float[Array, "B T *O"]) -> Float[Array, "B T *O"]:
    """The stream after all changes, in its own dtype and shape: what takes its place first, then what is added."""
    flat = side_by_side(x)
    wide = flat.astype(jnp.promote_types(flat.dtype, jnp.result_type(*(change.value for change in changes))))
    for change in changes:
        if change.replaces is not None:
            wide = jnp.where(change.replaces, change.value, wide)
    added = [change.value for change in changes if change.replaces is None]
    return (wide + sum(added[1:], added[0]) if added else wide).astype(x.dtype).reshape(x.shape)


def _wide(x: Stream) -> Stream:
    """A 16-bit stream in float32: feature values are never computed in 16 bits, in edits as in taps."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _in_stream_units(config: DictionaryConfig, push: Stream, x: Stream) -> Stream:
    """What is added where the dictionary undoes a norm of its input x: the push, in the units x is in."""
    return push * scale(config.input_norm, x) if config.restores else push


def _difference(e: Edit, active: Active, before: Values) -> Values:
    """What each slot adds to its value where it acts."""
    return jnp.where(active, _new(e, before) - before, 0)


def _new(e: Edit, before: Values) -> Values:
    """The value of each slot after its operation."""
    bounds = None if e.bounds is None else (e.bounds[0][:, None], e.bounds[1][:, None])
    return new_value(before, e.scale[:, None], e.shift[:, None], bounds)


def _push(change: Values, decoder: Float[AnyArray, "B E D"], x: Stream) -> Stream:
    """What the slots' changes add to the stream."""
    return jnp.einsum("bte,bed->btd", change.astype(x.dtype), decoder.astype(x.dtype))
