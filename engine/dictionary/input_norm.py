"""Norms that a dictionary applies to each input before it encodes, and undoes after it decodes.

    layer_norm   x' = (x - mean) / (std + 1e-5)        y = y' std + mean         std with D - 1 degrees of freedom
    token_norm   x' = x sqrt(D) / |x|                  y = y' |x| / sqrt(D)

They depend on the input, so no fixed array can hold them. A unit of a feature is worth `scale(x)` units of its decoder
row in the stream: std or |x| / sqrt(D). Decoding multiplies by std, not by std + 1e-5, as SAELens and
OpenAI do. A transcoder's output is of another stream and is left as decoded.

Shapes: x [*rows, D], scale [*rows, 1].
"""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

InputNorm = Literal["none", "layer_norm", "token_norm"]
INPUT_NORMS: tuple[InputNorm, ...] = ("none", "layer_norm", "token_norm")
EPSILON = 1e-5


def normalise(
    norm: InputNorm, x: Float[Array, "*rows D"], observe: Callable[[Array], Array] = lambda size: size
) -> Float[Array, "*rows D"]:
    """What is encoded in place of x; a token of zeros stays zero.

    `observe` sees the factor between them and may give another (one that is constant to a gradient).
    """
    if norm == "layer_norm":
        return (x - jnp.mean(x, axis=-1, keepdims=True)) / (observe(scale(norm, x)) + EPSILON)
    if norm == "token_norm":
        size = observe(scale(norm, x))
        return x / jnp.where(size > 0, size, 1)
    return x


def restore(norm: InputNorm, y: Float[Array, "*rows D"], x: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
    """A reconstruction in the units of the input x."""
    if norm == "layer_norm":
        return y * scale(norm, x) + jnp.mean(x, axis=-1, keepdims=True)
    if norm == "token_norm":
        return y * scale(norm, x)
    return y


def scale(norm: InputNorm, x: Float[Array, "*rows D"]) -> Float[Array, "*rows 1"]:
    """The factor between decoded and restored."""
    if norm == "layer_norm":
        return jnp.std(x, axis=-1, keepdims=True, ddof=1)
    if norm == "token_norm":
        return jnp.linalg.norm(x, axis=-1, keepdims=True) / x.shape[-1] ** 0.5
    return jnp.ones((*x.shape[:-1], 1), x.dtype)
