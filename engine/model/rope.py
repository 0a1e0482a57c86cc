"""Rotary positions: each pair of coordinates (i, i + W/2) of a query or key turns by position * frequency_i.

    frequency_i = theta^(-2 i / W), stretched as `RopeScaling` says

W is the head width K, or less where only a head's first coordinates turn (`ModelConfig.rotary_dim`).
The frequencies are constants of the configuration, computed once in float64 on the host. Source: Su et al. 2021
(arXiv 2104.09864); the llama3 stretch as published with Llama 3.1.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.model.config import ModelConfig, RopeScaling


def frequencies(config: ModelConfig) -> np.ndarray:
    """Angular frequencies [W/2] in radians per position, float64."""
    exponent = np.arange(0, config.rotary_width, 2) / config.rotary_width
    return _stretch(config.rope_theta**-exponent, config.rope_scaling)


def _stretch(base: np.ndarray, scaling: RopeScaling) -> np.ndarray:
    if scaling.kind == "default":
        return base
    if scaling.kind == "linear":
        return base / scaling.factor
    turns = scaling.original_max_position * base / (2 * np.pi)
    # 0 below low_freq_factor turns in the original context (stretched fully), 1 above high_freq_factor (kept).
    kept = np.clip((turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor), 0.0, 1.0)
    return base * (kept + (1 - kept) / scaling.factor)


def rotate(
    x: Float[Array, "*rows heads K"], positions: Int[Array, "*#rows"], config: ModelConfig, dtype: jnp.dtype
) -> Float[Array, "*rows heads K"]:
    """Turn every head's vector by its position's angles; sines and cosines in `dtype`.

    `positions` has x's leading axes, or is a scalar shared by all rows. Where positions are learned, x is returned.
    """
    if config.positions == "learned":
        return x
    angles = positions[..., None].astype(dtype) * jnp.asarray(frequencies(config), dtype)
    cos, sin = jnp.cos(angles)[..., None, :], jnp.sin(angles)[..., None, :]
    if cos.ndim < x.ndim:
        cos, sin = (a.reshape((1,) * (x.ndim - a.ndim) + a.shape) for a in (cos, sin))
    turning, still = x[..., : config.rotary_width], x[..., config.rotary_width :]
    first, second = jnp.split(turning.astype(dtype), 2, axis=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate([*(half.astype(x.dtype) for half in turned), still], axis=-1)
