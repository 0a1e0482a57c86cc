"""What all dictionaries whose arrays are in memory have in common: their sizes, their name, their face to programs."""

from typing import Self

import jax
from flax import nnx
from jaxtyping import Array, Float, Int

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.largest import largest


class InMemoryArrays(nnx.Module):
    """Arrays of a dictionary, of a stack of them, or of a cross-layer transcoder.

    Attributes:
        config: what they are of.
        W_enc: [*P, D, F].
        b_enc: [*P, F].
        b_dec: [*P, O].
    """

    config: DictionaryConfig
    W_enc: nnx.Param[Array]
    b_enc: nnx.Param[Array]
    b_dec: nnx.Param[Array]

    def __repr__(self) -> str:
        c = self.config
        place = c.stream if c.output_stream == c.stream else f"{c.stream} -> {c.output_stream}"
        layers = ", ".join(map(str, c.layers))
        return (
            f"{type(self).__name__}({c.kind}, {place}, layers {layers}; "
            f"{self.num_features} features a layer, D {self.d_in}, {self.b_enc[...].dtype})"
        )

    __str__ = __repr__

    @property
    def num_features(self) -> int:
        """F, of each layer."""
        return self.b_enc[...].shape[-1]

    @property
    def d_in(self) -> int:
        """D."""
        return self.W_enc[...].shape[-2]

    @property
    def d_out(self) -> int:
        """O."""
        return self.b_dec[...].shape[-1]

    def resident(self, layer: int) -> tuple[Self, int]:
        """What to hand to a compiled program that reads one layer, and the layer's number there."""
        return self, layer

    def encode_at(self, layer: int | Array, x: Float[Array, "*rows D"]) -> Float[Array, "*rows F"]:
        """All feature values of a model layer, which may be traced, in x's dtype."""
        raise NotImplementedError

    def strongest_at(
        self, layer: int | Array, x: Float[Array, "*rows D"], k: int
    ) -> tuple[Float[Array, "*rows k"], Int[Array, "*rows k"]]:
        """Values and ids of the k strongest features of a model layer, which may be traced, largest value first."""
        return largest(self.encode_at(layer, x), k)

    def with_config(self, config: DictionaryConfig) -> Self:
        """The same arrays under another configuration."""
        renamed = jax.tree.map(lambda array: array, self)
        renamed.config = config
        return renamed
