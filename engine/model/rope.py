"""Rotary positions: each pair of coordinates (i, i + W/2) of a query or key turns by position * frequency_i.

    frequency_i = theta^(-2 i / W), stretched as `RopeScaling` says

W is the head width K, or less where only a head's first coordinates turn (`ModelConfig.rotary_dim`). Layers with a
window may have a base of their own (`local_rope_theta`). The frequencies are constants of the configuration, computed
once in float64 on the host.

Sources: Su et al. 2021 (arXiv 2104.09864); the llama3 stretch as published with Llama 3.1; YaRN: Peng et al. 2023
(arXiv 2309.00071); LongRoPE: Ding et al. 2024 (arXiv 2402.13753).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.model.config import ModelConfig, RopeScaling


def frequencies(config: ModelConfig) -> np.ndarray:
    """Angular frequencies [W/2] in radians per position, float64."""
    return stretched(_base(config, config.rope_theta), config.rope_scaling)


def _base(config: ModelConfig, theta: float) -> np.ndarray:
    return theta ** -(np.arange(0, config.rotary_width, 2) / config.rotary_width)


def frequencies_at(config: ModelConfig, layer: int | Int[Array, ""], dtype: jnp.dtype) -> Float[Array, " W2"]:
    """Those of a layer, which may be traced."""
    of_most = jnp.asarray(frequencies(config), dtype)
    if not config.local_rope_theta:
        return of_most
    local = jnp.asarray(_base(config, config.local_rope_theta), dtype)
    return jnp.where(jnp.asarray(config.windows)[layer] > 0, local, of_most)


def stretched(base: np.ndarray, scaling: RopeScaling) -> np.ndarray:
    """Frequencies [W/2] as a longer context has them."""
    if scaling.kind == "default":
        return base
    if scaling.kind == "linear":
        return base / scaling.factor
    if scaling.kind == "longrope":
        return base / np.asarray(scaling.divisors)
    kept = _kept_by_number(base, scaling) if scaling.kind == "yarn" else _kept_by_turns(base, scaling)
    return base * (kept + (1 - kept) / scaling.factor)


def _kept_by_turns(base: np.ndarray, scaling: RopeScaling) -> np.ndarray:
    """0 below low_freq_factor turns in the original context (stretched fully), 1 above high_freq_factor (kept)."""
    turns = scaling.original_max_position * base / (2 * np.pi)
    return np.clip((turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor), 0.0, 1.0)


def _kept_by_number(base: np.ndarray, scaling: RopeScaling) -> np.ndarray:
    """The same, falling evenly with the frequency's number between those that have these turns."""
    step = -np.log(base[1]) if len(base) > 1 else 1.0
    high, low = (
        np.log(scaling.original_max_position / (2 * np.pi * turns)) / step
        for turns in (scaling.low_freq_factor, scaling.high_freq_factor)
    )
    if scaling.whole_steps:
        low, high = np.floor(low), np.ceil(high)
    low, high = max(low, 0), min(high, 2 * len(base) - 1)
    return 1 - np.clip((np.arange(len(base)) - low) / max(high - low, 0.001), 0.0, 1.0)


def rotate(
    x: Float[Array, "*rows heads K"],
    positions: Int[Array, "*#rows"],
    config: ModelConfig,
    dtype: jnp.dtype,
    layer: int | Int[Array, ""] = 0,
) -> Float[Array, "*rows heads K"]:
    """Turn every head's vector by its position's angles; sines and cosines in `dtype`.

    `positions` has x's leading axes, or is a scalar shared by all rows. Where positions are learned, x is returned.
    """
    if config.positions == "learned":
        return x
    angles = positions[..., None].astype(dtype) * frequencies_at(config, layer, dtype)
    # The barrier keeps XLA from computing them anew for every row and head.
    cos, sin = jax.lax.optimization_barrier((jnp.cos(angles), jnp.sin(angles)))
    cos, sin = cos[..., None, :], sin[..., None, :]
    if config.rope_scaling.attention_factor != 1.0:
        cos, sin = (a * jnp.asarray(config.rope_scaling.attention_factor, dtype) for a in (cos, sin))
    if cos.ndim < x.ndim:
        cos, sin = (a.reshape((1,) * (x.ndim - a.ndim) + a.shape) for a in (cos, sin))
    turning, still = x[..., : config.rotary_width], x[..., config.rotary_width :]
    first, second = jnp.split(turning.astype(dtype), 2, axis=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate([*(half.astype(x.dtype) for half in turned), still], axis=-1)
