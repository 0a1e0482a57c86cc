"""The real sizes at which operations are compiled for a GPU and measured: one table for tests and the benchmark.

Each case is an operation at the shape of a study: Llama-3.1-8B with 512 rows, a shared prompt of 320 tokens and
dictionaries of 32,768 features; Qwen3-4B with 16 prompts of 64 tokens and the heads above layer 9; and a model of width
512, such as a laptop runs. Operations counted are of products; bytes are of arguments and results, each once.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from causeway.kernels.decode_attention import RowKeys, SharedKeys, decode_attention
from causeway.kernels.encode_top_k import encode_top_k
from causeway.kernels.second_order_fold import second_order_fold
from causeway.kernels.sparse_decode import sparse_decode
from causeway.kernels.top_p import top_p_threshold

IMPLEMENTATIONS = ("xla", "pallas")


@dataclasses.dataclass(frozen=True)
class Case:
    """One operation at one size.

    Attributes:
        operation: takes the arguments, and which implementation.
        arguments: their shapes and dtypes. below: of integer ones, one more than the largest that may occur.
        operations: of its products. unread: bytes of arguments on which no result depends. positive: whether arguments
            are.
    """

    operation: Callable[..., Any]
    arguments: tuple[Any, ...]
    operations: int
    below: int = 1
    unread: int = 0
    positive: bool = False

    @property
    def dtype(self) -> str:
        """Of the arrays that are multiplied."""
        return str(jax.tree.leaves(self.arguments)[0].dtype)

    @property
    def bytes(self) -> int:
        """Of arguments that are read and of results."""
        arrays = jax.tree.leaves((self.arguments, jax.eval_shape(self.operation, *self.arguments)))
        return sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays) - self.unread

    def draw(self) -> tuple[Any, ...]:
        """Arguments of that size: normal numbers, or their sizes; whole numbers below `below`; masks that hold."""
        leaves, tree = jax.tree.flatten(self.arguments)
        keys = jax.random.split(jax.random.key(0), len(leaves))
        return jax.tree.unflatten(tree, [self._drawn(*pair) for pair in zip(keys, leaves, strict=True)])

    def _drawn(self, key: Array, like: jax.ShapeDtypeStruct) -> Array:
        if like.dtype == bool:
            return jnp.ones(like.shape, bool)
        if jnp.issubdtype(like.dtype, jnp.integer):
            return jax.random.randint(key, like.shape, 0, self.below, like.dtype)
        drawn = jax.random.normal(key, like.shape, like.dtype)
        return jnp.abs(drawn) if self.positive else drawn


def _array(dtype: str, *shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))


def _jumprelu(p: Array, threshold: Array, least: float) -> Array:
    return jnp.where(p > threshold + least, p, 0)


def _encode(dtype: str, b: int, d: int, features: int, k: int) -> Case:
    weights = _array(dtype, d, features), _array(dtype, features), (_array(dtype, features),)
    # Three standard deviations of a product of normal numbers: about as many are on as of a real dictionary.
    operation = partial(encode_top_k, activation=partial(_jumprelu, least=3 * math.sqrt(d)), k=k)
    return Case(operation, (_array(dtype, b, d), *weights), 2 * b * d * features)


def _decode(dtype: str, b: int, k: int, features: int, out: int) -> Case:
    chosen = _array(dtype, b, k), _array("int32", b, k)
    unread = max(0, features - b * k) * out * jnp.dtype(dtype).itemsize
    return Case(sparse_decode, (*chosen, _array(dtype, features, out)), 2 * b * k * out, features, unread)


def _attend(dtype: str, groups: int, b: int, m: int, width: int, prefix: int, suffix: int) -> Case:
    q, rows = _array(dtype, groups, b, m, width), _array(dtype, groups, b, suffix, width)
    shared = SharedKeys(
        _array(dtype, groups, width, prefix), _array(dtype, groups, prefix, width), _array("bool", prefix)
    )
    operation = partial(decode_attention, scale=width**-0.5)
    arguments = q, (q, q), (shared, RowKeys(rows, rows, _array("bool", suffix)))
    return Case(operation, arguments, 4 * groups * b * m * width * (prefix + suffix + 1))


def _fold(dtype: str, b: int, layers: int, heads: int, tokens: int, neurons: int) -> Case:
    arguments = (
        _array(dtype, b, layers, heads, tokens, tokens), _array("int32", b), _array(dtype, b, layers, tokens),
        _array(dtype, b, tokens, neurons),
    )  # fmt: skip
    unread = b * layers * heads * (tokens - 1) * tokens * jnp.dtype(dtype).itemsize
    return Case(second_order_fold, arguments, 2 * b * layers * heads * tokens * neurons, tokens, unread)


def _nucleus(b: int, vocabulary: int) -> Case:
    return Case(partial(top_p_threshold, share=0.9), (_array("float32", b, vocabulary),), 0, positive=True)


CASES: Mapping[str, Mapping[str, Case]] = MappingProxyType({
    "encode_top_k": {
        "d512": _encode("float32", 128, 512, 16_384, 50),
        "llama8b": _encode("bfloat16", 512, 4096, 32_768, 50),
    },
    "sparse_decode": {
        "d512": _decode("float32", 128, 50, 16_384, 512),
        "llama8b": _decode("bfloat16", 512, 50, 32_768, 4096),
    },
    "decode_attention": {
        "d512": _attend("float32", 4, 128, 2, 64, 300, 64),
        "llama8b": _attend("bfloat16", 8, 512, 4, 128, 320, 128),
    },
    "top_p": {"d512": _nucleus(128, 4096), "llama8b": _nucleus(512, 128_256)},
    "second_order_fold": {
        "d512": _fold("float32", 16, 2, 8, 64, 1408),
        "qwen4b": _fold("float32", 16, 26, 32, 64, 9728),
    },
})  # fmt: skip
