"""Chosen features of several layers, read in one pass from the streams where they are.

    p = W_enc x + b_enc,    f = activation(p),    size = |x| |W_enc|

of each feature, x being the stream that its dictionary reads, after the norm that the dictionary asks for. A change of
p below a few roundings of `size` is none.

Shapes: P layers, S features of each, B rows. Cost: 2 P S D operations a row, and their columns in memory.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from causeway.engine.dictionary.activations import elementwise
from causeway.engine.dictionary.columns import FeatureColumns
from causeway.engine.dictionary.input_norm import normalise
from causeway.engine.dictionary.placement import InMemory

# What is read of a feature: pre-activation, activation, size.
READ = 3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FeatureReader:
    """Columns of chosen features, [P, S, ...], of P layers.

    A row that begins above a layer does not pass it; what is read there is of an empty stream.
    """

    columns: FeatureColumns
    layers: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(cls, dictionary: InMemory, chosen: Mapping[int, Sequence[int]]) -> "FeatureReader":
        """Features by layer, as many of each layer as the longest list has; shorter ones repeat their first.

        Raises:
            ValueError: the dictionary is ranked, so that no feature can be read without all others.
        """
        if dictionary.config.ranked:
            raise ValueError(
                f"dictionary: {dictionary.config.kind} features cannot be read without all others; needs an "
                "elementwise kind, such as jumprelu or relu"
            )
        layers = tuple(sorted(chosen))
        most = max(len(chosen[layer]) for layer in layers)
        ids = np.array([[*chosen[at], *[chosen[at][0]] * (most - len(chosen[at]))] for at in layers], np.int32)
        stack = np.array([dictionary.config.index_of(layer) for layer in layers])
        return cls(FeatureColumns(dictionary, stack[:, None], ids, decoder=False), layers)

    @property
    def stream(self) -> str:
        """The stream that the dictionary reads."""
        return self.columns.config.stream

    def __call__(self, x: Float[Array, "P B D"]) -> Float[Array, "B P S 3"]:
        """Pre-activations, activations, and the size |x| |w| that a pre-activation's roundings are measured by."""
        columns = self.columns
        x = normalise(columns.config.input_norm, x.astype(jnp.promote_types(x.dtype, jnp.float32)))
        encoder = columns.encoder.astype(x.dtype)
        p = jnp.einsum("pbd,psd->bps", x, encoder) + columns.bias.astype(x.dtype)
        size = jnp.linalg.norm(x, axis=-1).T[:, :, None] * jnp.linalg.norm(encoder, axis=-1)
        return jnp.stack([p, elementwise(columns.kind, p, columns.parameters), size], axis=-1)
