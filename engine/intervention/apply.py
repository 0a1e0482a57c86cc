"""How an edit changes a stream, inside a compiled pass.

`bind` gathers, once and before any loop over layers or steps, everything a row's slots need: encoder columns,
activation parameters and decoder rows, [B, E, D]. Applying an elementwise edit then costs 4 D operations a slot and
token. Families that need a whole dictionary (`replace`, and features of ranked dictionaries) keep the stack and one
traced position in it; they run inside `lax.cond`, at their own layer alone.

The stream is [B, T, D] everywhere; positions are [B, T], or [1, T] when the rows share them.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.dictionary.activations import elementwise
from causeway.engine.dictionary.dictionary import Dictionary, FeatureColumns, take
from causeway.engine.intervention.edits import EMPTY, Edit, EditSpec


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EditReport:
    """What an edit did at each token, all [B, T, E]; zeros where it did not act.

    before: the edited quantity in the unedited stream. after: the value it was set to. applied: whether it acted.
    """

    before: Float[Array, "B T E"]
    after: Float[Array, "B T E"]
    applied: Bool[Array, "B T E"]

    def __add__(self, other: "EditReport") -> "EditReport":
        """Reports of two layers: a slot acts in one layer alone."""
        return EditReport(self.before + other.before, self.after + other.after, self.applied | other.applied)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("edit", "columns", "decoder", "dictionary", "index", "layer"),
    meta_fields=("spec",),
)
@dataclasses.dataclass(frozen=True)
class BoundEdit:
    """An edit and what was gathered for it.

    columns: the edited features' encoder columns (None for swap). decoder: [B, E, D] written per unit of change.
    dictionary, index, layer: the stack, the position in it and the model layer shared by all rows, where the family
    needs a dictionary whole; None otherwise.
    """

    spec: EditSpec
    edit: Edit
    columns: FeatureColumns | None = None
    decoder: Float[Array, "B E D"] | None = None
    dictionary: Dictionary | None = None
    index: Int[Array, ""] | None = None
    layer: Int[Array, ""] | None = None


def bind(spec: EditSpec, edit: Edit, dictionary: Dictionary | None) -> BoundEdit:
    """Gather what the slots need; `check_edit` has been passed."""
    if spec.family == "swap":
        return BoundEdit(spec, edit)
    if spec.family == "vector":
        return BoundEdit(spec, edit, decoder=edit.vectors)
    table = np.zeros(max(dictionary.config.layers) + 1, np.int32)
    table[list(dictionary.config.layers)] = np.arange(len(dictionary.config.layers))
    stack_index = jnp.asarray(table)[jnp.clip(edit.layer, 0, len(table) - 1)]
    columns = FeatureColumns(dictionary, stack_index, edit.feature)
    decoder = _matched_writer(dictionary, stack_index, edit, columns.decoder)
    if not spec.one_layer(dictionary):
        return BoundEdit(spec, edit, columns=columns, decoder=decoder)
    index = jnp.max(jnp.where(edit.layer == EMPTY, 0, stack_index))
    return BoundEdit(spec, edit, columns, decoder, dictionary, index, jnp.max(edit.layer))


def _matched_writer(
    dictionary: Dictionary, index: Int[Array, "B E"], edit: Edit, own: Float[Array, "B E D"]
) -> Float[Array, "B E D"]:
    """Decoder rows to write, rescaled to the norm of the edited feature's own row (a factor of 1 for itself)."""
    written = dictionary.W_dec[...][index, edit.writer]
    own_norm = jnp.linalg.norm(own.astype(jnp.float32), axis=-1, keepdims=True)
    norm = jnp.linalg.norm(written.astype(jnp.float32), axis=-1, keepdims=True)
    return jnp.where((edit.writer == edit.feature)[..., None], own, written * (own_norm / norm))


def apply_edit(
    bound: BoundEdit, x: Float[Array, "B T D"], layer: int | Array, positions: Int[Array, "rows T"]
) -> tuple[Float[Array, "B T D"], EditReport]:
    """The edited stream and what was done to it; all slots read the unedited stream and their changes add."""
    e = bound.edit
    at = positions[..., None]
    active = (e.layer == layer)[:, None] & (e.start[:, None] <= at) & (at < e.stop[:, None])
    if bound.layer is not None:
        unchanged = (x, jnp.zeros(active.shape, x.dtype))
        edit = partial(_with_dictionary, bound, active)
        edited, before = jax.lax.cond(bound.layer == layer, edit, lambda _: unchanged, x)
    elif bound.spec.family == "swap":
        edited, before = _swap(e, active, x), jnp.zeros(active.shape, x.dtype)
    else:
        before = _value(bound, x)
        edited = _delta(bound, active, x, before)
    after = e.scale[:, None] * before + e.shift[:, None]
    return edited, EditReport(jnp.where(active, before, 0), jnp.where(active, after, 0), active)


def _value(bound: BoundEdit, x: Float[Array, "B T D"]) -> Float[Array, "B T E"]:
    """Present value of each slot's feature, or component along its vector."""
    if bound.spec.family == "vector":
        v = bound.decoder
        return jnp.einsum("btd,bed->bte", x, v.astype(x.dtype)) / jnp.sum(v * v, axis=-1)[:, None]
    columns = bound.columns
    p = jnp.einsum("btd,bed->bte", x, columns.encoder.astype(x.dtype)) + columns.bias[:, None].astype(x.dtype)
    return elementwise(columns.kind, p, tuple(a[:, None] for a in columns.parameters))


def _delta(bound: BoundEdit, active: Bool[Array, "B T E"], x: Float[Array, "B T D"], f: Float[Array, "B T E"]) -> Array:
    e = bound.edit
    change = jnp.where(active, e.scale[:, None] * f + e.shift[:, None] - f, 0).astype(x.dtype)
    return x + jnp.einsum("bte,bed->btd", change, bound.decoder.astype(x.dtype))


def _swap(e: Edit, active: Bool[Array, "B T E"], x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
    new = e.scale[:, None, :, None] * x[:, :, None] + e.shift[:, None, :, None] * e.vectors[:, None]
    return x + jnp.sum(jnp.where(active[..., None], new - x[:, :, None], 0), axis=2).astype(x.dtype)


def _with_dictionary(bound: BoundEdit, active: Bool[Array, "B T E"], x: Float[Array, "B T D"]):
    """Edits that need every feature: ranked activations, and reconstruction."""
    dictionary, e = take(bound.dictionary, bound.index), bound.edit
    f = dictionary.encode(x)
    chosen = jnp.broadcast_to(e.feature[:, None], active.shape)
    before = jnp.take_along_axis(f, chosen, axis=-1)
    if bound.spec.family == "feature":
        return _delta(bound, active, x, before), before
    change = jnp.where(active, e.scale[:, None] * before + e.shift[:, None] - before, 0).astype(x.dtype)
    rebuilt = dictionary.decode(f) + jnp.einsum("bte,bed->btd", change, bound.decoder.astype(x.dtype))
    return jnp.where(jnp.any(active, axis=-1, keepdims=True), rebuilt, x), before
