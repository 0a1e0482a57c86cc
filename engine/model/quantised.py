"""Weights of large products in 8 bits: whole numbers and one scale an output channel.

    W = q s        q int8 in [-127, 127], s = max |W| / 127 over what a product sums, float32
    x W = (x q) s  q is exact in every compute dtype, so the scale is applied once, to the product's output

Symmetric, because a product with a zero point needs another sum; per output channel, because a scale may then leave
the sum. XLA fuses the conversion of q into the product's operand where its backend can; elsewhere one layer's matrix
in the compute dtype is a temporary. Norms, biases and learned positions stay float.

Everything that reads a weight as an array, `weight[...]`, gets W from either kind of parameter.

Error: |W - q s| <= s / 2 for each weight. Memory: 1 byte a weight and 4 an output channel.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, Int, Int8

from causeway.engine.model.config import Numerics

LARGEST = 127


class Quantised(nnx.Module):
    """A weight in 8 bits.

    Attributes:
        values: q. scale: s, of the same axes, those that products sum being of length 1.
        contracted: the axes that products sum, from the end.
    """

    def __init__(self, shape: tuple[int, ...], contracted: tuple[int, ...]):
        self.values = nnx.Param(jnp.zeros(shape, jnp.int8))
        self.scale = nnx.Param(jnp.ones(scale_shape(shape, contracted), jnp.float32))
        self.contracted = contracted

    @property
    def shape(self) -> tuple[int, ...]:
        """Of W."""
        return self.values.get_value().shape

    def __getitem__(self, index) -> Float[Array, "..."]:
        """W in float32, or part of it."""
        return (self.values[...] * self.scale[...])[index]


Weight = nnx.Param | Quantised


def weight(
    init: Callable[[tuple[int, ...]], Array], shape: tuple[int, ...], contracted: tuple[int, ...], storage: str
) -> Weight:
    """The parameter of a product: in 8 bits, whose numbers come from a file, or as `init` makes it."""
    return Quantised(shape, contracted) if storage == "int8" else nnx.Param(init(shape))


def operand(weight: Weight) -> tuple[Array, Float32[Array, "..."] | None]:
    """What a product takes, and the scale of its output's last axes (None: none)."""
    if not isinstance(weight, Quantised):
        return weight[...], None
    return weight.values[...], jnp.squeeze(weight.scale[...], weight.contracted)


def rows_of(weight: Weight, ids: Int[Array, "*rows"]) -> Array:
    """Rows of a table, looked up before they are scaled."""
    if not isinstance(weight, Quantised):
        return weight[...][ids]
    return weight.values[...][ids] * weight.scale[...][ids]


def quantise(
    matrix: Float[np.ndarray, "..."], contracted: tuple[int, ...]
) -> tuple[Int8[np.ndarray, "..."], Float32[np.ndarray, "..."]]:
    """q and s of a weight on the host; `matrix`, of float32, is overwritten."""
    largest = np.abs(matrix).max(axis=contracted, keepdims=True)
    scale = np.where(largest > 0, largest / LARGEST, 1).astype(np.float32)
    matrix /= scale
    return np.rint(matrix, out=matrix).astype(np.int8), scale


def scale_shape(shape: tuple[int, ...], contracted: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of s for W of a shape."""
    summed = {axis % len(shape) for axis in contracted}
    return tuple(1 if axis in summed else size for axis, size in enumerate(shape))


def check_floats(numerics: Numerics) -> None:
    """Refuse to write a model whose weights are in 8 bits.

    Raises:
        ValueError: they are.
    """
    if numerics.storage == "int8":
        raise ValueError(
            "storage: got int8, which no files hold here: weights are brought to 8 bits as they are loaded; write the "
            "model in floats (--storage=bfloat16)"
        )


def count_weights(model: nnx.Module) -> int:
    """Numbers of a model's weights, scales not counted."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(model, is_leaf=is_quantised))


def weight_name(path: tuple, node: object) -> str:
    """`blocks.mlp.down` for a node's key path in a model's tree, whichever way the weight is kept (`is_quantised`); of
    blocks of their own each has this name."""
    names = [str(key.name) for key in path if not isinstance(key, jax.tree_util.SequenceKey)]
    return ".".join(names if is_quantised(node) else names[:-1])


def is_quantised(node: object) -> bool:
    """Whether a node of a model's tree is a weight in 8 bits, to stop there."""
    return isinstance(node, Quantised)
