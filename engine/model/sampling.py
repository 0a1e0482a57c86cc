"""Choosing the next token.

The draw is Gumbel-max: argmax(logits / temperature + noise), which has the softmax distribution and, unlike inverting
a cumulative distribution, keeps two arms of an experiment coupled token by token when they share the noise. The noise
of a row is a function of (seed, prompt id, trial, step) and of nothing else: not of the arm, the feature, the place
in the batch, or the device.

Top-p keeps the smallest set of most probable tokens whose mass reaches p, ties included. Its threshold is found
exactly and without a sort (`kernels/top_p`), which would cost more than a whole step of a small model.
"""

import dataclasses
from enum import IntEnum
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from causeway.engine import scalars
from causeway.engine.arrays import AnyArray
from causeway.kernels.top_k import top_k
from causeway.kernels.top_p import top_p_threshold

# Logits are divided by the temperature in float32: below this, the quotients of large logits are infinite and all of
# them tie, where the limit of small temperatures is the greedy choice.
GREEDY_BELOW = 1e-30
# A rest of a hundredth is far above what sums in float32 are rounded by.
EXACT_SHARE = 0.99


class Purpose(IntEnum):
    """Tags that keep draws for different ends apart."""

    TOKEN = 0
    CONTROL_FEATURE = 1
    GAME = 2


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How tokens are chosen; static, part of the compiled program.

    temperature: 0 is greedy, and so is anything below 1e-30. top_k: 0 keeps all. top_p: 1 keeps all. stop_tokens: ids
    that end a row (the stop token itself is emitted).

    Raises:
        ValueError: a setting that is no number of its range.
    """

    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 1.0
    stop_tokens: tuple[int, ...] = ()

    def __post_init__(self):
        temperature = scalars.real(self.temperature, "temperature", low=0)
        object.__setattr__(self, "temperature", 0.0 if temperature < GREEDY_BELOW else temperature)
        object.__setattr__(self, "top_k", scalars.integer(self.top_k, "top_k"))
        object.__setattr__(self, "top_p", scalars.real(self.top_p, "top_p", high=1))
        if not self.top_p > 0:
            raise ValueError(f"top_p: got {self.top_p}; needs a probability mass in (0, 1]")
        object.__setattr__(self, "stop_tokens", tuple(scalars.integers(self.stop_tokens, "stop_tokens").tolist()))


def row_keys(seed: int | Array, prompt_id: int | Int[AnyArray, "*#B"], trials: Int[AnyArray, " B"]) -> Key[Array, " B"]:
    """One threefry key a row; folding in the step gives the key of a draw. Rows have one prompt, or each its own."""
    # One program for all seeds, which have 32 bits.
    return _row_keys(np.uint32(seed) if isinstance(seed, int) else seed, prompt_id, trials)


@jax.jit
def _row_keys(seed: Array, prompt_id: Int[Array, "*#B"], trials: Int[Array, " B"]) -> Key[Array, " B"]:
    base = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), Purpose.TOKEN)
    prompts = jnp.broadcast_to(prompt_id, trials.shape)
    return jax.vmap(lambda prompt, trial: jax.random.fold_in(jax.random.fold_in(base, prompt), trial))(prompts, trials)


def choose(
    logits: Float[Array, "B V"], keys: Key[Array, " B"], step: int | Int[Array, "*B"], sampling: Sampling
) -> Int[Array, " B"]:
    """Next token ids; `step` counts each row's draws."""
    logits = logits.astype(jnp.float32)
    if sampling.temperature == 0:
        return _first_largest(logits)
    logits = logits / sampling.temperature
    if sampling.top_k:
        logits = jnp.where(logits >= _kth_largest(logits, sampling.top_k), logits, -jnp.inf)
    if sampling.top_p < 1:
        logits = nucleus(logits, sampling.top_p)
    steps = jnp.broadcast_to(jnp.asarray(step), keys.shape)
    noise = jax.vmap(lambda key, n: jax.random.gumbel(jax.random.fold_in(key, n), logits.shape[-1:]))(keys, steps)
    return _first_largest(logits + noise)


def _first_largest(scores: Float[Array, "B V"]) -> Int[Array, " B"]:
    """argmax; of a row with NaN any token. In one reading, in which a GPU forms the scores too, and in two on CPU."""
    paired = partial(jax.lax.argmax, axis=1, index_dtype=jnp.int32)
    return jax.lax.platform_dependent(scores, cpu=_by_two_reductions, default=paired)


def _by_two_reductions(scores: Float[Array, "B V"]) -> Int[Array, " B"]:
    """argmax as two plain reductions, which vectorise on CPU where the paired one does not (40x)."""
    # The barrier keeps XLA from fusing the noise into them, which would leave it unvectorised.
    scores = jax.lax.optimization_barrier(scores)
    ids = jax.lax.broadcasted_iota(jnp.int32, scores.shape, 1)
    peak = jnp.max(scores, axis=-1, keepdims=True)
    return jnp.min(jnp.where(scores == peak, ids, scores.shape[-1] - 1), axis=-1)


def _kth_largest(logits: Float[Array, "B V"], k: int) -> Float[Array, "B 1"]:
    return top_k(logits, min(k, logits.shape[-1]))[0][:, -1:]


def nucleus(logits: Float[Array, "B V"], top_p: float) -> Float[Array, "B V"]:
    """Scores of the smallest most probable set with mass at least `top_p`, ties with its last member included.

    -inf for other tokens. On a CPU scores are the logits. Elsewhere they are taken from the largest, as logarithms of
    the weights: those have to be read, and so logits need not be.
    """
    weights = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
    kept = weights >= top_p_threshold(weights, top_p, between=(_least(top_p, logits.shape[-1]), 1.0))
    scores = jax.lax.platform_dependent(logits, weights, cpu=lambda same, _: same, default=lambda _, w: _logarithm(w))
    return jnp.where(kept, scores, -jnp.inf)


def _logarithm(weights: Float[Array, "B V"]) -> Float[Array, "B V"]:
    # The barrier keeps XLA from knowing of what they are exponentials.
    return jnp.log(jax.lax.optimization_barrier(weights))


def _least(top_p: float, tokens: int) -> float:
    """What no threshold of weights whose largest is 1 is below.

    All weights below t have a mass below t V. The set without them holds `top_p` of the sum, which is at least 1, where
    that is within 1 - top_p; it is kept within half of it, as sums are rounded.
    """
    return (1 - top_p) / (2 * tokens) if top_p <= EXACT_SHARE else 0.0
