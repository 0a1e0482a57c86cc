"""Norms of the stream, as modules: RMS, LayerNorm, and none.

All are y = gain * centre(x) / sigma(x) (+ bias); the parts are methods, so that the frozen pass can keep sigma and
holds can put another one in its place.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from causeway.engine.model.config import ModelConfig, Numerics


class _Norm(nnx.Module):
    """What both norms share: y = gain * centre(x) / sigma(x) (+ bias), sums in the accumulation dtype."""

    gain: nnx.Param
    eps: float
    numerics: Numerics

    def centre(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
        """The linear part before denominator and gain, its own adjoint; the identity of a norm that does not centre."""
        return x

    def inverse_sigma(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows"]:
        """1 / sigma, the root mean square of each centred input, in the accumulation dtype; NaN where it overflows.

        1 / infinity would be 0: an input too large to measure would go on as if nothing had been there.
        """
        centred = self.centre(x.astype(self.numerics.accumulate_dtype))
        square = jnp.mean(centred * centred, axis=-1)
        # The remainder of infinity is NaN, of what is smaller itself. A choice would keep a GPU from one kernel a norm.
        return jax.lax.rsqrt(jax.lax.rem(square, jnp.finfo(square.dtype).max) + self.eps)

    def normalise(
        self, x: Float[Array, "*rows D"], inverse: Float[Array, "*#rows"] | None = None
    ) -> Float[Array, "*rows D"]:
        """x centred and over sigma, without gain and bias; `inverse` is 1 / sigma where it is not x's own."""
        inverse = self.inverse_sigma(x) if inverse is None else inverse
        return self.centre(x.astype(self.numerics.accumulate_dtype)) * inverse[..., None]

    def multiplier(self) -> Float[Array, "*stack D"]:
        """What the normalised input is multiplied by, in the accumulation dtype."""
        return self.gain[...].astype(self.numerics.accumulate_dtype)

    def scale(self, normalised: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
        """Apply the gain and return to the compute dtype."""
        return (normalised * self.multiplier()).astype(self.numerics.compute_dtype)

    def __call__(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
        """The whole norm."""
        return self.scale(self.normalise(x))


class RMSNorm(_Norm):
    """y = (gain + offset) * x / sqrt(mean(x^2) + eps)."""

    def __init__(self, shape: tuple[int, ...], eps: float, numerics: Numerics, offset: float = 0.0):
        self.gain = nnx.Param(jnp.full(shape, 1 - offset, numerics.storage_dtype))
        self.eps, self.offset = eps, offset
        self.numerics = numerics

    def multiplier(self) -> Float[Array, "*stack D"]:
        """Gain and offset."""
        return super().multiplier() + self.offset


class LayerNorm(_Norm):
    """y = gain * (x - mean(x)) / sqrt(var(x) + eps) + bias."""

    def __init__(self, shape: tuple[int, ...], eps: float, numerics: Numerics):
        self.gain = nnx.Param(jnp.ones(shape, numerics.storage_dtype))
        self.bias = nnx.Param(jnp.zeros(shape, numerics.storage_dtype))
        self.eps = eps
        self.numerics = numerics

    def centre(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
        """x less its mean."""
        return x - jnp.mean(x, axis=-1, keepdims=True)

    def scale(self, normalised: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
        """Apply gain and bias and return to the compute dtype."""
        out = normalised * self.multiplier() + self.bias[...].astype(self.numerics.accumulate_dtype)
        return out.astype(self.numerics.compute_dtype)


class NoNorm(_Norm):
    """y = x, where a decoder has no norm: a denominator and a gain of 1, and no parameters."""

    def __init__(self, shape: tuple[int, ...], numerics: Numerics):
        self.width = shape[-1]
        self.numerics = numerics

    def inverse_sigma(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows"]:
        """Ones."""
        return jnp.ones(x.shape[:-1], self.numerics.accumulate_dtype)

    def multiplier(self) -> Float[Array, " D"]:
        """Ones."""
        return jnp.ones(self.width, self.numerics.accumulate_dtype)


Norm = RMSNorm | LayerNorm | NoNorm


def make_norm(config: ModelConfig, shape: tuple[int, ...], numerics: Numerics) -> Norm:
    """The norm of a decoder, of vectors of the last axis of `shape`."""
    if config.norm == "none":
        return NoNorm(shape, numerics)
    if config.norm == "layer":
        return LayerNorm(shape, config.norm_eps, numerics)
    return make_rms(config, shape, numerics)


def make_rms(config: ModelConfig, shape: tuple[int, ...], numerics: Numerics) -> RMSNorm:
    """The same where it is an RMS norm whatever the others are: of queries and keys."""
    return RMSNorm(shape, config.norm_eps, numerics, offset=1.0 if config.norm == "rms_offset" else 0.0)
