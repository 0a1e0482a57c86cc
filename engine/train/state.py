"""What is optimised when dictionaries are trained, and what a checkpoint holds.

Inputs x and targets y are standardised, each with its own mean and scale; for SAEs they are one. With features f

    y' = f W_dec + b_dec [+ x W_skip]                          one layer
    y'_m = b_dec_m + sum_{l <= m} f_l W_dec_l[m - l] [+ x_m W_skip_m]     crossing layers

Decoder rows have norm 1: a row is everything a feature writes, so where layers are crossed the blocks for layers
l, l + 1, ... lie side by side in it.

Shapes: P layers, D the stream read, O the stream written, F features, B tokens.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

Decoder = Array | tuple[Array, ...]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Parameters:
    """For inputs and targets of mean 0 and mean square norm 1.

    W_dec: [P, F, O]; crossing layers, one [F, (P - l) O] for each layer l. log_threshold: jumprelu alone. W_skip: with
    a skip connection alone.
    """

    W_enc: Float[Array, "P D F"]
    b_enc: Float[Array, "P F"]
    W_dec: Decoder
    b_dec: Float[Array, "P O"]
    log_threshold: Float[Array, "P F"] | None
    W_skip: Float[Array, "P D O"] | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DictionaryState:
    """What a checkpoint holds.

    moments: of Adam. idle: steps since a feature last fired. threshold: running batch threshold. shift, scale: what
    inputs are standardised with; target_shift, target_scale: the same of targets, None for SAEs.
    """

    parameters: Parameters
    moments: optax.OptState
    idle: Int[Array, "P F"]
    threshold: Float[Array, " P"]
    shift: Float[Array, "P D"]
    scale: Float[Array, " P"]
    step: Int[Array, ""]
    target_shift: Float[Array, "P O"] | None = None
    target_scale: Float[Array, " P"] | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Standardised inputs x [P, B, D] and targets y [P, B, O]; one array for SAEs."""

    x: Float[Array, "P B D"]
    y: Float[Array, "P B O"]


def residual(parameters: Parameters, batch: Batch, f: Float[Array, "P B F"]) -> Float[Array, "P B O"]:
    """y - y'."""
    left = batch.y - written(parameters.W_dec, f) - parameters.b_dec[:, None]
    return left if parameters.W_skip is None else left - batch.x @ parameters.W_skip


def written(decoder: Decoder, f: Float[Array, "P B F"]) -> Float[Array, "P B O"]:
    """What features write to every layer."""
    if not isinstance(decoder, tuple):
        return f @ decoder
    depth, tokens = f.shape[:2]
    parts = [(f[l] @ rows).reshape(tokens, depth - l, -1) for l, rows in enumerate(decoder)]  # noqa: E741
    return jnp.stack([sum(parts[l][:, m - l] for l in range(m + 1)) for m in range(depth)])  # noqa: E741


def reached(y: Float[Array, "P B O"], crosses: bool) -> list[Float[Array, "B R"]]:
    """For each layer what its features can write to: its own, or side by side its own and all above."""
    return [jnp.concatenate(list(y[l:] if crosses else y[l : l + 1]), axis=-1) for l in range(len(y))]  # noqa: E741


def standardised(x: Float[Array, "P B D"], shift: Float[Array, "P D"], scale: Float[Array, " P"]) -> Array:
    """(x - shift) scale."""
    return (x - shift[:, None]) * scale[:, None, None]


def moments(buffer: Float[Array, "P N D"], count: int) -> tuple[Float[Array, "P D"], Float[Array, " P"]]:
    """Mean, and inverse root mean square deviation, of the tokens that are there."""
    there = (jnp.arange(buffer.shape[1]) < count)[None, :, None]
    mean = jnp.sum(jnp.where(there, buffer, 0), axis=1) / count
    deviation = jnp.where(there, buffer - mean[:, None], 0)
    return mean, jnp.sqrt(count / jnp.sum(deviation**2, axis=(1, 2)))


def unit(rows: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
    """Rows of norm 1."""
    return rows / jnp.maximum(jnp.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def tangent(gradient: Float[Array, "*rows D"], rows: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
    """The part of a gradient that does not change the rows' norm, which is 1."""
    return gradient - jnp.sum(gradient * rows, axis=-1, keepdims=True) * rows
