"""Sparse activations as they are trained: forward as at inference, backward as a gradient can be had.

    jumprelu   f = p [p > t]. The step has no gradient in t, so its derivative is taken to be that of a ramp of width
               e around the threshold (straight-through estimator, rectangle kernel K; Rajamanoharan et al. 2024):
                   df/dp = [p > t]        df/dt = -(t / e) K((p - t) / e)
                   L0 = sum [p > t]       dL0/dt = -(1 / e) K((p - t) / e)      K(u) = [|u| < 1/2]
    topk       the k largest p of a token are kept, negative ones cut; the choice itself has no gradient.
    batchtopk  the k B largest p of a batch of B tokens are kept (Bussmann et al. 2024). The threshold that does it is
               found by bisection, never by sorting B F numbers; its average over training serves at inference.

Shapes: P layers, B tokens, F features. Layers are an axis of the arrays and not a vmap, because XLA's fast top-k
exists for matrices alone (13 times faster than the sort it falls back to on CPU).
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from causeway.kernels.top_k import top_k

TrainedKind = Literal["jumprelu", "topk", "batchtopk"]
TRAINED_KINDS: tuple[TrainedKind, ...] = ("jumprelu", "topk", "batchtopk")
BISECTIONS = 16


@jax.custom_vjp
def jumprelu(
    p: Float[Array, "P B F"], threshold: Float[Array, "P F"], bandwidth: Float[Array, ""]
) -> Float[Array, "P B F"]:
    """p above its threshold, else 0; straight-through gradient in the threshold."""
    return jnp.where(p > threshold[:, None], p, 0)


def _jumprelu_forward(p, threshold, bandwidth):
    return jumprelu(p, threshold, bandwidth), (p, threshold, bandwidth)


def _jumprelu_backward(saved, g):
    p, threshold, bandwidth = saved
    through = jnp.sum(jnp.where(_near(p, threshold, bandwidth), g, 0), axis=1)
    return jnp.where(p > threshold[:, None], g, 0), -(threshold / bandwidth) * through, None


jumprelu.defvjp(_jumprelu_forward, _jumprelu_backward)


@jax.custom_vjp
def mean_active(
    p: Float[Array, "P B F"], threshold: Float[Array, "P F"], bandwidth: Float[Array, ""]
) -> Float[Array, " P"]:
    """L0: features above their thresholds, mean over tokens; straight-through gradient in the threshold alone."""
    return _mean_count(p > threshold[:, None])


def _mean_active_forward(p, threshold, bandwidth):
    return mean_active(p, threshold, bandwidth), (p, threshold, bandwidth)


def _mean_active_backward(saved, g):
    p, threshold, bandwidth = saved
    near = jnp.sum(_near(p, threshold, bandwidth), axis=1).astype(p.dtype)
    return jnp.zeros_like(p), -g[:, None] / (bandwidth * p.shape[1]) * near, None


mean_active.defvjp(_mean_active_forward, _mean_active_backward)


def topk(p: Float[Array, "P B F"], k: int) -> Float[Array, "P B F"]:
    """The k largest of each token, negative ones cut."""
    strongest = top_k(jax.lax.stop_gradient(p).reshape(-1, p.shape[-1]), k)[0]
    # The minimum, not the last column: XLA on CPU turns a slice of a top-k into a slice of a whole sort.
    weakest = jnp.min(strongest, axis=-1).reshape(*p.shape[:-1], 1)
    return jnp.where((p >= weakest) & (p > 0), p, 0)


def batch_threshold(p: Float[Array, "P B F"], k: float) -> Float[Array, " P"]:
    """The level that k B of a layer's B F values exceed (all positive ones do where fewer are positive)."""

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        too_many = _mean_count(p > middle[:, None, None]) > k
        return jnp.where(too_many, middle, low), jnp.where(too_many, high, middle)

    peak = jnp.max(p, axis=(1, 2))
    return jax.lax.fori_loop(0, BISECTIONS, halve, (jnp.zeros_like(peak), peak))[1]


def batchtopk(p: Float[Array, "P B F"], k: float) -> tuple[Float[Array, "P B F"], Float[Array, " P"]]:
    """The k B largest of each layer's batch, and the thresholds that chose them."""
    threshold = batch_threshold(jax.lax.stop_gradient(p), k)
    return jnp.where(p > threshold[:, None, None], p, 0), threshold


def _near(p: Float[Array, "P B F"], threshold: Float[Array, "P F"], bandwidth: Float[Array, ""]) -> Array:
    return jnp.abs(p - threshold[:, None]) < bandwidth / 2


def _mean_count(chosen: Bool[Array, "P B F"]) -> Float[Array, " P"]:
    # Two sums: the inner one runs along the contiguous axis, which XLA vectorises.
    return jnp.sum(jnp.sum(chosen, axis=-1), axis=-1) / chosen.shape[1]
