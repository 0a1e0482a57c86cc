"""Chosen features of several layers, read in one pass from the streams where they are.

    p = W_enc x + b_enc,    f = activation(p),    size = |x| |W_enc|

of each feature, x being the stream that its dictionary reads, after the norm that the dictionary asks for; p and size
of gated ones times the factor that their activations have. A change of p below a few roundings of `size` is none.

Shapes: P layers, S features of each, B rows. Cost: 2 P S D operations a row, and their columns in memory; where the
dictionary is ranked (TopK) an encode of each layer beside.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.activations import elementwise
from causeway.engine.dictionary.columns import FeatureColumns
from causeway.engine.dictionary.input_norm import normalise
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.changes import wide

# What is read of a feature: pre-activation, activation, size.
READ = 3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FeatureReader:
    """Columns of chosen features, [P, S, ...], of P layers.

    A row that begins above a layer does not pass it; what is read there is of an empty stream.

    Attributes:
        whole, ids: the dictionary and the features [P, S], where these cannot be read without all others; else None.
    """

    columns: FeatureColumns
    whole: InMemory | None
    ids: Int[AnyArray, "P S"] | None
    layers: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(cls, dictionary: InMemory, chosen: Mapping[int, Sequence[int]]) -> "FeatureReader":
        """Features by layer, as many of each layer as the longest list has; shorter ones repeat their first."""
        layers = tuple(sorted(chosen))
        most = max(len(chosen[layer]) for layer in layers)
        ids = np.array([[*chosen[at], *[chosen[at][0]] * (most - len(chosen[at]))] for at in layers], np.int32)
        stack = np.array([dictionary.config.index_of(layer) for layer in layers])
        columns = FeatureColumns(dictionary, stack[:, None], ids, decoder=False)
        ranked = dictionary.config.ranked
        return cls(columns, dictionary if ranked else None, jnp.asarray(ids) if ranked else None, layers)

    @property
    def stream(self) -> str:
        """The stream that the dictionary reads."""
        return self.columns.config.stream

    @property
    def numbers(self) -> int:
        """How many numbers are read of a row."""
        return int(np.prod(self.columns.encoder.shape[:2])) * READ

    def nothing(self, rows: int, dtype: jnp.dtype) -> Float[Array, "P B D"]:
        """Empty streams of so many rows."""
        return jnp.zeros((len(self.layers), rows, self.columns.encoder.shape[-1]), dtype)

    def __call__(self, x: Float[Array, "P B D"]) -> Float[Array, "B P S 3"]:
        """Pre-activations, activations, and the size |x| |w| that a pre-activation's roundings are measured by."""
        columns, x = self.columns, wide(x)
        y = normalise(columns.config.input_norm, x)
        encoder = columns.encoder.astype(x.dtype)
        p = jnp.einsum("pbd,psd->bps", y, encoder) + columns.bias.astype(x.dtype)
        size = jnp.linalg.norm(y, axis=-1).T[:, :, None] * jnp.linalg.norm(encoder, axis=-1)
        activations = self._activations(x, p)
        unit = jnp.exp(columns.parameters[0].astype(x.dtype)) if columns.kind == "gated" else 1.0
        return jnp.stack([p * unit, activations, size * unit], axis=-1)

    def _activations(self, x: Float[Array, "P B D"], p: Float[Array, "B P S"]) -> Float[Array, "B P S"]:
        if self.whole is None or self.ids is None:
            return elementwise(self.columns.kind, p, self.columns.parameters)
        found = [self.whole.encode_at(layer, x[at])[:, self.ids[at]] for at, layer in enumerate(self.layers)]
        return jnp.stack(found, axis=1)
