"""Feature values by greedy pursuit (matching-pursuit SAEs).

The remainder starts as the input. Each iteration finds the feature whose direction it has the most of, moves that
much of it from the remainder to the feature's value, and goes on:

    i = argmax_f r . w_f      v = max(r . w_i, 0)      f_i += v      r -= v w_i

until |r| < residual_threshold (0: never), or no new feature was found (`stop_on_duplicate`), or after k iterations.
Ties go to the lower index. Encoder and decoder are one matrix.

Cost: 2 D F operations an iteration and token; iterations end when the slowest token of the batch is done.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def matching_pursuit(
    x: Float[Array, "*rows D"],
    directions: Float[Array, "F D"],
    iterations: int,
    residual_threshold: float,
    stop_on_duplicate: bool,
) -> Float[Array, "*rows F"]:
    """Feature values of inputs from which the decoder's bias has been subtracted, never negative."""
    start = x.reshape(-1, x.shape[-1])
    rows = jnp.arange(len(start))

    def unfinished(carry):
        step, _, _, done = carry
        return (step < iterations) & ~jnp.all(done)

    def pick(carry):
        step, remainder, f, done = carry
        best = jnp.argmax(jnp.maximum(remainder @ directions.T, 0), axis=-1)
        chosen = directions[best]
        value = jnp.where(done, 0, jnp.maximum(jnp.sum(remainder * chosen, axis=-1), 0))
        known = (f[rows, best] != 0) | (value == 0)
        f, remainder = f.at[rows, best].add(value), remainder - value[:, None] * chosen
        if stop_on_duplicate:
            done = done | known
        if residual_threshold > 0:
            done = done | (jnp.linalg.norm(remainder, axis=-1) < residual_threshold)
        return step + 1, remainder, f, done

    f = jnp.zeros((len(start), len(directions)), x.dtype)
    carry = jax.lax.while_loop(unfinished, pick, (0, start, f, jnp.zeros(len(start), bool)))
    return carry[2].reshape(*x.shape[:-1], -1)
