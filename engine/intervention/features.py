"""Edits of dictionary features.

`bind_features` gathers, once and before any loop over layers or steps, everything a row's slots need: encoder columns,
activation parameters and decoder rows, [B, E, D]. Applying an elementwise edit then costs 4 D operations a slot and
token. Families that need a whole dictionary (`replace`, and features of ranked dictionaries) keep the stack and one
traced position in it; they run inside `lax.cond`, at their own layer alone. O is the width of the stream written.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.dictionary.activations import elementwise
from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.dictionary import Dictionary, FeatureColumns, take
from causeway.engine.dictionary.input_norm import normalise, scale
from causeway.engine.intervention.changes import Active, Change, Stream, Values, difference, push, wide
from causeway.engine.intervention.edits import EMPTY, Edit


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
        columns, x = self.columns, wide(x)
        y = normalise(columns.config.input_norm, x)
        p = jnp.einsum("btd,bed->bte", y, columns.encoder.astype(x.dtype)) + columns.bias[:, None].astype(x.dtype)
        before = elementwise(columns.kind, p, tuple(a[:, None] for a in columns.parameters))
        moved = push(difference(self.edit, active, before), self.decoder, x)
        return Change(_in_stream_units(columns.config, moved, x)), before


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
        dictionary, x = take(self.dictionary, self.index), wide(x)
        f = dictionary.encode(x)
        chosen = jnp.broadcast_to(self.edit.feature[:, None], active.shape)
        before = jnp.take_along_axis(f, chosen, axis=-1)
        moved = push(difference(self.edit, active, before), self.decoder, x)
        moved = _in_stream_units(dictionary.config, moved, x)
        if self.edit.spec.family == "feature" and dictionary.config.is_transcoder:
            return Change(moved), before
        # An SAE's own stream is added to here, inside the branch: outside it, XLA may skip the rounding of 16-bit x.
        rest = x if self.edit.spec.family == "feature" else dictionary.decode(f, x)
        return Change(rest + moved, jnp.any(active, axis=-1, keepdims=True)), before


def bind_features(edit: Edit, dictionary: Dictionary) -> BoundFeature | BoundDictionary:
    """Gather what the slots need of the dictionary."""
    table = np.zeros(max(dictionary.config.layers) + 1, np.int32)
    table[list(dictionary.config.layers)] = np.arange(len(dictionary.config.layers))
    stack_index = jnp.asarray(table)[jnp.clip(edit.layer, 0, len(table) - 1)]
    columns = FeatureColumns(dictionary, stack_index, edit.feature)
    decoder = _matched_writer(dictionary, stack_index, edit, columns.decoder)
    if not edit.spec.one_layer(dictionary):
        return BoundFeature(edit, columns, decoder)
    index = jnp.max(jnp.where(edit.layer == EMPTY, 0, stack_index))
    return BoundDictionary(edit, decoder, dictionary, index, jnp.max(edit.layer))


def _matched_writer(
    dictionary: Dictionary, index: Int[Array, "B E"], edit: Edit, own: Float[Array, "B E D"]
) -> Float[Array, "B E D"]:
    """Decoder rows to write, rescaled to the norm of the edited feature's own row (a factor of 1 for itself)."""
    written = dictionary.W_dec[...][index, edit.writer]
    own_norm = jnp.linalg.norm(own.astype(jnp.float32), axis=-1, keepdims=True)
    norm = jnp.linalg.norm(written.astype(jnp.float32), axis=-1, keepdims=True)
    return jnp.where((edit.writer == edit.feature)[..., None], own, written * (own_norm / norm))


def _in_stream_units(config: DictionaryConfig, push: Stream, x: Stream) -> Stream:
    """What is added where the dictionary undoes a norm of its input x: the push, in the units x is in."""
    return push * scale(config.input_norm, x) if config.restores else push
