"""What a decoder is, as data.

One transformer serves every family; a family is a way of filling in `ModelConfig` (ports read it from published
configuration files). `Numerics` says in which precision weights are stored, products are computed and sums are
kept; the three are separate because a 16-bit weight multiplied in float32 is a different experiment from a 16-bit
product.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp

Precision = Literal["float32", "bfloat16", "float64"]


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are stretched beyond the context a model was trained on.

    `linear` divides every frequency by `factor`; `llama3` divides the low frequencies, keeps the high ones and
    interpolates between (Llama 3.1, `original_max_position` being the length it was first trained on).
    """

    kind: Literal["default", "linear", "llama3"] = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 8192


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shapes and constants of a decoder; hashable, so it is part of a compiled program's key."""

    family: Literal["llama"]
    num_layers: int
    d_model: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    d_ff: int
    vocab_size: int
    max_position: int
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling = RopeScaling()
    tied_embeddings: bool = True
    attention_bias: bool = False
    mlp_bias: bool = False

    def __post_init__(self):
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"ModelConfig.num_kv_heads: {self.num_kv_heads} does not divide num_heads = {self.num_heads}; "
                "every group of query heads shares one key/value head"
            )
        if self.head_dim % 2:
            raise ValueError(f"ModelConfig.head_dim: {self.head_dim} is odd; rotary positions need an even width")


@dataclasses.dataclass(frozen=True)
class Numerics:
    """Storage, compute and accumulation dtypes.

    storage: dtype of weights in memory. compute: dtype of the operands of matrix products and of the residual
    stream. accumulate: dtype of norms, softmax, logits and of the sums inside products.
    """

    storage: Precision = "float32"
    compute: Precision = "float32"
    accumulate: Precision = "float32"

    @property
    def storage_dtype(self) -> jnp.dtype:
        """`storage` as a numpy dtype."""
        return jnp.dtype(self.storage)

    @property
    def compute_dtype(self) -> jnp.dtype:
        """`compute` as a numpy dtype."""
        return jnp.dtype(self.compute)

    @property
    def accumulate_dtype(self) -> jnp.dtype:
        """`accumulate` as a numpy dtype."""
        return jnp.dtype(self.accumulate)
