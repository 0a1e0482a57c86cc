"""What loading and measuring will take, from a configuration and the shapes of files alone, before either begins.

    memory       numbers of model and dictionaries in the dtype they are kept in
    operations   2 N a token and pass of a model of N numbers; 2 M for all dictionaries' encoders and decoders, of M

Both are from below: activations, logits and compilation come on top, and nothing runs at the rate of products alone.
"""

import dataclasses
import datetime
import math

import jax
import jax.numpy as jnp

from causeway.engine.bench.gemm import gemm_rate
from causeway.engine.model.config import ModelConfig, Numerics, Storage
from causeway.engine.model.transformer import abstract_transformer

# Passes over the text of the report (two readings, the loss, three losses a layer), and places tried a layer.
READINGS, LOSSES_A_LAYER, PLACES = 3, 3, 24


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Sizes known before anything is loaded.

    Attributes:
        model, dictionaries: numbers of each. layers: with a dictionary. tokens, place_tokens: that are measured at
            most, 0 for none. storage: dtype in memory; of dictionaries float32 where the model's is int8.
    """

    model: int
    dictionaries: int
    layers: int
    tokens: int
    place_tokens: int
    storage: Storage

    @property
    def memory_bytes(self) -> int:
        """Of the weights."""
        dictionaries = 4 if self.storage == "int8" else jnp.dtype(self.storage).itemsize
        return self.model * jnp.dtype(self.storage).itemsize + self.dictionaries * dictionaries

    @property
    def operations(self) -> float:
        """Floating-point operations of matrix products."""
        passes = READINGS + LOSSES_A_LAYER * self.layers
        encoded = 2 * self.tokens + PLACES * self.place_tokens
        return 2.0 * self.model * self.tokens * passes + 2.0 * self.dictionaries * encoded

    def text(self) -> str:
        """One line for people; the rate of products is measured for it where there is something to run."""
        line = f"{self.model:,} numbers of a model and {self.dictionaries:,} of dictionaries, {self._memory()} at least"
        if not self.tokens:
            return line
        wait = datetime.timedelta(seconds=math.ceil(self.operations / gemm_rate(seconds=0.1)))
        return f"{line}; {wait} of computing at least, on {self.tokens:,} tokens at most"

    def _memory(self) -> str:
        return f"{self.memory_bytes / 1e9:.3g} GB"


def model_numbers(config: ModelConfig) -> int:
    """Numbers of a model's parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(abstract_transformer(config, Numerics())))
