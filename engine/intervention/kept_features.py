"""Dictionary features that a pass keeps at their activations in the clean pass.

With f the activations of the present stream and f_clean those of the clean one, each at its token,

    x += (f_clean - f) W_dec                    (cross-layer decoders: at every layer above as well)

in the stream that the features write. As in an edit, what the dictionary does not explain stays live: of transcoders
what the features write is kept, of SAEs they are set to their clean values. Where the stream written is itself held,
it is the clean one already and nothing is added.

Shapes: P layers that keep some, W of them in each. Cost: of chosen features 8 D W operations a token and layer, of
ranked ones (TopK) or of all two encodes beside.
"""

import dataclasses
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.config import DictionaryConfig, place_among
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.changes import wide
from causeway.engine.intervention.features import in_stream_units
from causeway.engine.intervention.taps import BoundFeatures, BoundTap, TapSpec, bind_tap, read


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class KeptFeatures:
    """Features that are kept.

    Attributes:
        tap: reads their activations.
        ids: of the features, -1 where a layer has fewer; None: all.
        rows: what a unit of each writes, [P, W, O], cross-layer [L, P, W, O]; None where all are kept.
        config: of the dictionary.
    """

    tap: BoundTap
    ids: Int[AnyArray, "P W"] | None
    rows: Float[Array, "*L P W O"] | None
    config: DictionaryConfig = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(cls, features: dict[int, tuple[int, ...] | None], dictionary: InMemory) -> "KeptFeatures":
        """Those of each layer; None stands for all of the layer's."""
        layers, config = tuple(sorted(features)), dictionary.config
        if all(chosen is None for chosen in features.values()):
            return cls(bind_tap(TapSpec(config.stream, "all", layers), dictionary), None, None, config)
        every = tuple(range(dictionary.num_features))
        chosen = [every if (some := features[layer]) is None else some for layer in layers]
        ids = np.full((len(layers), max(map(len, chosen))), -1, np.int32)
        for row, some in zip(ids, chosen, strict=True):
            row[: len(some)] = some
        real = np.maximum(ids, 0)
        tap = bind_tap(TapSpec(config.stream, "selected", layers, ids.shape[1]), dictionary, jnp.asarray(real))
        stack = np.array([config.index_of(layer) for layer in layers])[:, None]
        return cls(tap, ids, dictionary.rows(stack, real), config)

    @property
    def crosses(self) -> bool:
        """Whether they write to the layers above their own as well."""
        found = cast(BoundFeatures, self.tap).dictionary.crosses if self.rows is None else self.rows.ndim == 4
        return bool(found)

    def has(self, feature: Int[AnyArray, "B E"], layer: int | Array) -> Bool[Array, "B E"]:
        """Which features are among those of a layer that keeps some."""
        if self.ids is None:
            return jnp.ones(feature.shape, bool)
        return jnp.any(jnp.asarray(self.ids)[self._position(layer)] == feature[..., None], axis=-1)

    def push(
        self, x: Float[Array, "B T *D"], clean: Float[Array, "rows T *D"], layer: int | Array, here: Bool[Array, ""]
    ) -> Float[Array, "*L B T O"]:
        """What is to be added to the stream written, cross-layer to that of each layer.

        Args:
            x: the stream read. clean: the same in the clean pass. here: whether the layer keeps any; zeros where not.
        """
        x, clean = wide(x), jnp.broadcast_to(wide(clean), wide(x).shape)
        there = partial(self._push, x, clean, jnp.asarray(layer))
        nothing = jax.eval_shape(there)
        return jax.lax.cond(here, there, lambda: jnp.zeros(nothing.shape, nothing.dtype))

    def _push(self, x: Float[Array, "B T D"], clean: Float[Array, "B T D"], layer: Array) -> Array:
        # One product for both, so that a stream which is the clean one to the bit gets nothing.
        kept, own = jnp.split(read(self.tap, jnp.concatenate([clean, x]), self._position(layer))[0], 2)
        moved = kept - own
        if self.rows is None:
            written = cast(BoundFeatures, self.tap).dictionary.write_at(layer, moved)
        else:
            moved = jnp.where(jnp.asarray(self.ids)[self._position(layer)] >= 0, moved, 0)
            rows = jnp.take(self.rows, self._position(layer), axis=-3).astype(moved.dtype)
            written = jnp.einsum("btw,...wo->...bto", moved, rows)
        return in_stream_units(self.config, written, x)

    def _position(self, layer: int | Array) -> Array:
        return place_among(self.tap.spec.layers, jnp.asarray(layer))
