"""Activation kinds of dictionaries: how pre-activations p become feature values f.

Elementwise kinds turn one feature's pre-activation into its value without looking at any other feature, so a single
feature costs one encoder column.

    relu         f = max(p, 0)
    jumprelu     f = p if p > threshold else 0 (strict)
    gated        f = max(p e^r + b_mag, 0) if p + b_gate > 0 else 0, where p = x W_enc without bias

Ranked kinds compare a feature with all others and need the full encode.

    topk         the k largest p, negative ones cut
    topk_signed  the k largest p, whatever their sign
    abstopk      the k largest |p|, signs kept
    groupmax     features cut into k groups of neighbours, the largest max(p, 0) of each
    matching_pursuit   greedy, from the input itself: `dictionary.matching_pursuit`

All others are 0, and ties go to the lower index. BatchTopK dictionaries are jumprelu at inference (their threshold was
estimated in training). Only topk_signed, abstopk and a jumprelu with a negative threshold have negative values.
"""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.dictionary.largest import largest

Kind = Literal["relu", "jumprelu", "gated", "topk", "topk_signed", "abstopk", "groupmax", "matching_pursuit"]
KINDS: tuple[Kind, ...] = (
    "relu", "jumprelu", "gated", "topk", "topk_signed", "abstopk", "groupmax", "matching_pursuit",
)  # fmt: skip
RANKED: frozenset[Kind] = frozenset({"topk", "topk_signed", "abstopk", "groupmax", "matching_pursuit"})


def relu(p: Float[Array, "*rows"]) -> Float[Array, "*rows"]:
    """max(p, 0)."""
    return jnp.maximum(p, 0)


def jumprelu(p: Float[Array, "*rows"], threshold: Float[Array, "*#rows"]) -> Float[Array, "*rows"]:
    """p above its threshold (strict), else 0; what is not a number stays so."""
    return jnp.where(p > threshold, p, _off(p <= threshold))


def gated(
    p: Float[Array, "*rows"],
    log_scale: Float[Array, "*#rows"],
    gate_bias: Float[Array, "*#rows"],
    magnitude_bias: Float[Array, "*#rows"],
) -> Float[Array, "*rows"]:
    """A gate decides whether the feature is on, a rescaled and shifted copy how much; NaN stays."""
    gate = p + gate_bias
    return jnp.where(gate > 0, relu(p * jnp.exp(log_scale) + magnitude_bias), _off(gate <= 0))


def _off(known: Bool[Array, "*rows"]) -> Float[Array, "*rows"]:
    """0 of a feature that is known to be off, NaN of one whose pre-activation or threshold is not a number."""
    return jnp.where(known, 0, jnp.nan)


ELEMENTWISE: dict[Kind, Callable[..., Array]] = {"relu": relu, "jumprelu": jumprelu, "gated": gated}


def elementwise(kind: Kind, p: Float[Array, "*rows"], parameters: tuple[Array, ...]) -> Float[Array, "*rows"]:
    """The activation of an elementwise kind, with the parameters of the same features."""
    return ELEMENTWISE[kind](p, *(a.astype(p.dtype) for a in parameters))


def topk(p: Float[Array, "*rows F"], k: int) -> Float[Array, "*rows F"]:
    """The k largest pre-activations, negative ones cut, all others 0."""
    values, ids = _largest(p, k)
    return _scatter(relu(values), ids, p)


def topk_signed(p: Float[Array, "*rows F"], k: int) -> Float[Array, "*rows F"]:
    """The k largest pre-activations, negative ones kept, all others 0."""
    return _scatter(*_largest(p, k), p)


def abstopk(p: Float[Array, "*rows F"], k: int) -> Float[Array, "*rows F"]:
    """The k pre-activations of largest magnitude, with their signs, all others 0."""
    _, ids = _largest(jnp.abs(p), k)
    return _scatter(jnp.take_along_axis(_rows(p), ids, axis=-1), ids, p)


def groupmax(p: Float[Array, "*rows F"], k: int) -> Float[Array, "*rows F"]:
    """The largest of each of k groups of F / k neighbours, negative ones cut, all others 0."""
    groups = relu(p).reshape(*p.shape[:-1], k, -1)
    first = jnp.argmax(groups, axis=-1, keepdims=True)
    return jnp.where(jnp.arange(groups.shape[-1]) == first, groups, 0).reshape(p.shape)


def ranked(kind: Kind, p: Float[Array, "*rows F"], k: int) -> Float[Array, "*rows F"]:
    """The activation of a ranked kind that looks at pre-activations alone (all but matching_pursuit)."""
    functions: dict[Kind, Callable[[Array, int], Array]] = {
        "topk": topk, "topk_signed": topk_signed, "abstopk": abstopk, "groupmax": groupmax,
    }  # fmt: skip
    return functions[kind](p, k)


def _rows(p: Float[Array, "*rows F"]) -> Float[Array, "rows F"]:
    return p.reshape(-1, p.shape[-1])


def _largest(p: Float[Array, "*rows F"], k: int) -> tuple[Float[Array, "rows k"], Int[Array, "rows k"]]:
    """Values and ids, as a matrix."""
    return largest(_rows(p), k)


def _scatter(
    values: Float[Array, "rows k"], ids: Int[Array, "rows k"], like: Float[Array, "*rows F"]
) -> Float[Array, "*rows F"]:
    """The values at their places among zeros."""
    rows = jnp.arange(len(ids))[:, None]
    return jnp.zeros((len(ids), like.shape[-1]), like.dtype).at[rows, ids].set(values).reshape(like.shape)
