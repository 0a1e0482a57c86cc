"""What is compiled: a program with arguments that are shapes alone, and what the mathematics needs of it.

Models are published ones by shape: no weight exists. Weights are in bfloat16, as they are published.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.exact_parts import chosen
from causeway.engine.model.transformer import Transformer, abstract_transformer
from causeway.engine.model.unrolled import unrolled

WEIGHT_BYTES = 2
LLAMA_LAYERS, QWEN_LAYERS = 32, 36
# Products in 16 bits for what is sampled or scored; effects of a thousandth need float32 (`precision`), which is in
# parts where weights have 16 bits.
FAST, EXACT = Numerics("bfloat16", "bfloat16"), chosen(Numerics("bfloat16", "float32"), "gpu")


@dataclasses.dataclass(frozen=True)
class Needed:
    """What a trip cannot do without: bytes (weights once, keys and values, records) and operations."""

    bytes: float
    operations: float


@dataclasses.dataclass(frozen=True)
class Workload:
    """One program.

    Attributes:
        function, arguments: what is compiled; arrays are `jax.ShapeDtypeStruct`s.
        trips: how often its largest loop, and every loop of unknown length, runs.
        answers: what a call gives so many of, by the name of `answer`. needed: of a trip. dtype: of its products.
            passes: how many of that dtype a product takes (`exact_parts`).
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    trips: int
    answers: int
    answer: str
    needed: Needed
    dtype: str
    passes: int = 1


def llama_8b(layers: int) -> ModelConfig:
    """Llama-3.1-8B with so many of its 32 layers."""
    return ModelConfig(
        "llama", layers, 4096, 32, 8, 128, 14336, 128256, max_position=131072, rope_theta=5e5
    )  # fmt: skip


def qwen3_4b(layers: int) -> ModelConfig:
    """Qwen3-4B with so many of its 36 layers."""
    return ModelConfig(
        "qwen3", layers, 2560, 32, 8, 128, 9728, 151936, max_position=40960, norm_eps=1e-6, rope_theta=1e6,
        qk_norm=True, tied_embeddings=True,
    )  # fmt: skip


def abstract_blocks(config: ModelConfig, numerics: Numerics) -> Transformer:
    """A transformer without memory as drivers have it off a CPU: each block with its own arrays, no stack."""
    return jax.eval_shape(unrolled, abstract_transformer(config, numerics))


def shape(*dimensions: int, dtype: Any = jnp.float32) -> Any:
    """Stands where an array would."""
    return jax.ShapeDtypeStruct(dimensions, jnp.dtype(dtype))


def integers(*dimensions: int) -> Any:
    """Stands where an array of int32 would."""
    return shape(*dimensions, dtype=jnp.int32)


def abstract_dictionary(config: DictionaryConfig, width: int, features: int) -> Dictionary:
    """A stack of dictionaries without memory, in bfloat16."""

    def made() -> Dictionary:
        def zeros(*dimensions: int) -> jax.Array:
            return jnp.zeros((len(config.layers), *dimensions), jnp.bfloat16)

        further = {"threshold": zeros(features)} if config.kind == "jumprelu" else {}
        return Dictionary(
            config, W_enc=zeros(width, features), b_enc=zeros(features), W_dec=zeros(features, width),
            b_dec=zeros(width), **further,
        )  # fmt: skip

    return jax.eval_shape(made)


def block_parameters(config: ModelConfig) -> int:
    """Weights of one block, norms left out."""
    attention = 2 * config.head_dim * (config.num_heads + config.num_kv_heads)
    return config.d_model * (attention + (3 if config.gated_mlp else 2) * config.d_ff)


def cache_bytes(config: ModelConfig, tokens: float, item: int) -> float:
    """Keys and values of one layer over so many tokens."""
    return 2 * config.num_kv_heads * config.head_dim * tokens * item


def attention_operations(config: ModelConfig, tokens: float) -> float:
    """Of one token of one layer that sees so many."""
    return 4 * config.num_heads * config.head_dim * tokens
