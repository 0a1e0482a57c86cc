"""Recordings as a person writes them: which stream of which layers, and how it is read."""

import dataclasses
from collections.abc import Sequence
from typing import cast

import jax.numpy as jnp
import numpy as np

from causeway.engine import scalars
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.sites import once
from causeway.engine.intervention.taps import READERS, BoundTap, Reader, TapSpec, bind_tap


@dataclasses.dataclass(frozen=True, eq=False)
class Tap:
    """A recording: a stream read at some layers.

    Attributes:
        stream: embed, resid_pre, attn_in, query, key, value, attn_pattern, head_out, attn_raw, attn_out, resid_mid,
            mlp_norm, mlp_in, mlp_act, mlp_raw, mlp_out, resid_post (`engine.intervention.sites` says what each is),
            final_norm or logits; with a layer as resid_post.3; or its name in TransformerLens (blocks.3.hook_resid_pre,
            of every layer hook_z) or Hugging Face (model.layers.3.mlp, of its input model.layers.3.mlp.input).
        reader: raw; all, top_k, selected (features of the dictionary); project (components along vectors).
        layers: one or several, negative ones counted from the end; default: the one in the stream's name, or all, or
            all that have a dictionary.
        width: k of top_k. ids: features of selected, [S] for every layer or [P, S]. vectors: of project, [S, D] or
            [P, S, D].

    What is recorded: `Record.values` [P, T, W] for each prompt of `run`, P layers and T tokens (attn_pattern
    [P, H, T, S], head_out and query [P, T, H, K], key and value [P, T, G, K]); [step, P, row, W] for `generate`, step 0
    being the prompt's last token.

    Raises:
        ValueError: an unknown reader, layers or ids that are no whole numbers, or vectors that are not finite.
    """

    stream: str = "resid_post"
    reader: Reader = "raw"
    layers: Sequence[int] | int | None = None
    width: int = 0
    ids: np.ndarray | None = None
    vectors: np.ndarray | None = None

    def __post_init__(self):
        scalars.text(self.stream, "Tap.stream")
        if self.reader not in READERS:
            raise ValueError(f"Tap.reader: got {self.reader!r}; needs one of {', '.join(READERS)}")
        if self.layers is not None:
            layers = scalars.integers(self.layers, "Tap.layers", -scalars.INT32_MAX)
            object.__setattr__(self, "layers", tuple(layers.ravel().tolist()))
        object.__setattr__(self, "width", scalars.integer(self.width, "Tap.width"))
        if self.ids is not None:
            object.__setattr__(self, "ids", scalars.integers(self.ids, "Tap.ids"))
        if self.vectors is not None:
            object.__setattr__(self, "vectors", scalars.finite_array(self.vectors, "Tap.vectors"))

    def bind(self, dictionary: InMemory | None, num_layers: int) -> BoundTap:
        """With its arrays on the device; the stream is one of the engine's.

        Raises:
            ValueError: see `bind_tap`; or layers that the model does not have.
        """
        layers = self._layers(cast(tuple[int, ...] | None, self.layers), dictionary, num_layers)
        ids, vectors = _a_layer(self.ids, 2, len(layers)), _a_layer(self.vectors, 3, len(layers))
        given = next((a for a in (ids, vectors) if a is not None and a.ndim > 1), None)
        spec = TapSpec(self.stream, self.reader, layers, self.width if given is None else given.shape[1])
        return bind_tap(spec, dictionary, *(None if a is None else jnp.asarray(a) for a in (ids, vectors)))

    def _layers(self, given: tuple[int, ...] | None, dictionary: InMemory | None, num_layers: int) -> tuple[int, ...]:
        if (single := once(self.stream, num_layers)) is not None:
            return (single,) if given in (None, (-1,)) else given
        if given is None:
            encodes = self.reader in ("all", "selected", "top_k") and dictionary is not None
            return dictionary.config.layers if encodes and dictionary else tuple(range(num_layers))
        layers = tuple(scalars.layer(layer, num_layers, "Tap.layers") for layer in given)
        if len(set(layers)) < len(layers):
            raise ValueError(f"Tap.layers: got {list(given)}; needs each layer once")
        return layers


def _a_layer(array: np.ndarray | None, axes: int, layers: int) -> np.ndarray | None:
    """An array with an axis of layers: one without it is every layer's."""
    return array if array is None or array.ndim != axes - 1 else np.broadcast_to(array, (layers, *array.shape))
