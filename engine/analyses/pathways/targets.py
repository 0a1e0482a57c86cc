"""Target features, cut into chunks of one layer that are pulled back together.

Shapes: R rows of a chunk, W the stream read.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine import scalars
from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.dictionary import Dictionary

Ids = Sequence[int] | np.ndarray
# Positions of all rows of a chunk: what makes products large on a CPU, and on an accelerator.
CHUNK_TOKENS, ACCELERATOR_TOKENS = 2048, 16384
# Widths of chunks are multiples of it, so that few programs serve all.
STEP = 4


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Targets of one layer.

    Attributes:
        layer: theirs. features: [n]. rows: R, rows of the program that serves them; n at most.
    """

    layer: int
    features: Int[np.ndarray, " n"]
    rows: int

    @property
    def filled(self) -> Int[np.ndarray, " R"]:
        """Features of all rows: the last is repeated."""
        return np.pad(self.features, (0, self.rows - len(self.features)), mode="edge")


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of a dictionary, each once, by layer and number.

    Attributes:
        layer, feature: [N].
    """

    layer: Int[np.ndarray, " N"]
    feature: Int[np.ndarray, " N"]

    @classmethod
    def of(cls, dictionary: Dictionary, layer: Ids, feature: Ids, name: str) -> "Features":
        """Checked and in order.

        Raises:
            ValueError: none, as many layers as features are not given, or a feature that the dictionaries lack.
        """
        layers, features = check_features(dictionary, layer, feature, name)
        pairs = np.unique(np.stack([layers, features], axis=1), axis=0)
        return cls(pairs[:, 0], pairs[:, 1])

    def chunks(self, rows: int) -> list[Chunk]:
        """Chunks of like size, of at most so many rows, layer by layer."""
        found = []
        for layer in np.unique(self.layer):
            features = self.feature[self.layer == layer]
            count = -(-len(features) // rows)
            width = min(rows, -(-len(features) // (count * STEP)) * STEP)
            found += [Chunk(int(layer), features[at : at + width], width) for at in range(0, len(features), width)]
        return found


def check_features(
    dictionary: Dictionary, layer: Ids, feature: Ids, name: str
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """Layers and features as arrays.

    Raises:
        ValueError: none, not as many layers as features, or a feature that the dictionaries lack.
    """
    layers, features = (scalars.integers(a, f"{name}: {what}") for a, what in ((layer, "layer"), (feature, "feature")))
    if layers.ndim != 1 or layers.shape != features.shape or not layers.size:
        raise ValueError(
            f"{name}: got layers {layers.shape} and features {features.shape}; needs a layer and a number of each"
        )
    if len(missing := np.setdiff1d(layers, dictionary.config.layers)):
        raise ValueError(
            f"{name}: layer {missing[0]} has no dictionary; those loaded are for layers {dictionary.config.layers}"
        )
    if features.max() >= dictionary.num_features:
        raise ValueError(f"{name}: feature {features.max()}; the dictionaries have {dictionary.num_features}")
    return layers, features


def chunk_rows(width: int) -> int:
    """How many targets are pulled back together over so many positions."""
    most = CHUNK_TOKENS if jax.default_backend() == "cpu" else ACCELERATOR_TOKENS
    return max(1, most // width)


def columns(dictionary: Dictionary, layer: Int[Array, ""], features: Int[AnyArray, " R"]) -> Float[Array, "R W"]:
    """Gradients of pre-activations by the (normed) input: encoder columns, scaled as the activation scales."""
    place = dictionary.config.place(layer)
    found = dictionary.W_enc[...][place, :, features]
    if dictionary.config.kind == "gated":
        found = found * jnp.exp(dictionary.elementwise_parameters()[0][place, features])[:, None]
    return found
