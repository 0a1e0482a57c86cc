"""Activation kinds of dictionaries.

Elementwise kinds turn one feature's pre-activation into its value without looking at any other feature, so a single
feature costs one encoder column. Ranked kinds (TopK) compare a feature with all others and need the full encode.

    relu      f = max(p, 0)
    jumprelu  f = p if p > threshold else 0 (strict), and never below 0
    gated     f = max(p e^r + b_mag, 0) if p + b_gate > 0 else 0, where p = x W_enc without bias
    topk      f = max(p, 0) for the k largest p, else 0; ties broken by the lower index

BatchTopK dictionaries are jumprelu at inference (their threshold was estimated in training).
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Kind = Literal["relu", "jumprelu", "gated", "topk"]
KINDS: tuple[Kind, ...] = ("relu", "jumprelu", "gated", "topk")
RANKED: frozenset[Kind] = frozenset({"topk"})


def relu(p: Float[Array, "*rows"]) -> Float[Array, "*rows"]:
    """max(p, 0)."""
    return jnp.maximum(p, 0)


def jumprelu(p: Float[Array, "*rows"], threshold: Float[Array, "*rows"]) -> Float[Array, "*rows"]:
    """p above its threshold (strict), else 0."""
    return jnp.where(p > jnp.maximum(threshold, 0), p, 0)


def gated(
    p: Float[Array, "*rows"],
    log_scale: Float[Array, "*rows"],
    gate_bias: Float[Array, "*rows"],
    magnitude_bias: Float[Array, "*rows"],
) -> Float[Array, "*rows"]:
    """A gate decides whether the feature is on, a rescaled and shifted copy decides how much."""
    return jnp.where(p + gate_bias > 0, relu(p * jnp.exp(log_scale) + magnitude_bias), 0)


def elementwise(kind: Kind, p: Float[Array, "*rows"], parameters: tuple[Array, ...]) -> Float[Array, "*rows"]:
    """The activation of an elementwise kind, with the parameters of the same features."""
    functions: dict[Kind, Callable[..., Array]] = {"relu": relu, "jumprelu": jumprelu, "gated": gated}
    return functions[kind](p, *(a.astype(p.dtype) for a in parameters))


def topk(p: Float[Array, "*rows F"], k: int) -> Float[Array, "*rows F"]:
    """The k largest pre-activations, negative ones cut, all others 0."""
    values, ids = jax.lax.top_k(p, k)
    flat_ids, flat_values = ids.reshape(-1, k), relu(values).reshape(-1, k)
    rows = jnp.arange(flat_ids.shape[0])[:, None]
    out = jnp.zeros((flat_ids.shape[0], p.shape[-1]), p.dtype).at[rows, flat_ids].set(flat_values)
    return out.reshape(p.shape)
