"""What outputs say: the right against the wrong answer, and the whole next-token distribution against the clean one.

    difference   logit of the right answer's token less that of the wrong one's, where the two part: nats of log odds
    right        whether it is above 0
    kl           KL(clean || changed) of the next token, nats

Shapes: P prompts, D model, V vocabulary. Cost: 2 D V a prompt. Memory: logits of `BLOCK` prompts.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision

# Logits of a block, at most.
BLOCK_LOGITS = 1 << 24


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """Of P prompts under one or more changes.

    Attributes:
        difference, kl: [P], nats.
    """

    difference: Float[np.ndarray, " P"]
    kl: Float[np.ndarray, " P"]

    @property
    def right(self) -> np.ndarray:
        """[P] whether the right answer's logit is the larger one."""
        return self.difference > 0


def outcomes_of(
    transformer: Transformer,
    clean: Float[np.ndarray, "P D"],
    changes: Mapping[str, Float[np.ndarray, "P D"]],
    pairs: Int[np.ndarray, "P 2"],
) -> tuple[Outcomes, dict[str, Outcomes]]:
    """Outcomes of the outputs as they are, and with each change added.

    Args:
        clean: the last norm's output at the token read. pairs: tokens of the right and of the wrong answer.
    """
    rows, count = max(1, BLOCK_LOGITS // transformer.config.vocab_size), len(clean)

    def all_of(change: Float[np.ndarray, "P D"]) -> Outcomes:
        parts = [
            _compared(transformer, clean[at : at + rows], change[at : at + rows], pairs[at : at + rows])
            for at in range(0, count, rows)
        ]
        return Outcomes(*(np.concatenate([np.asarray(part[i], np.float64) for part in parts]) for i in (0, 1)))

    return all_of(np.zeros_like(clean)), {name: all_of(change) for name, change in changes.items()}


@jax.jit
@full_precision
def _compared(
    transformer: Transformer,
    clean: Float[AnyArray, "P D"],
    change: Float[AnyArray, "P D"],
    pairs: Int[AnyArray, "P 2"],
) -> tuple[Float[Array, " P"], Float[Array, " P"]]:
    return compared(transformer.logits(jnp.asarray(clean)), transformer.logits(jnp.asarray(clean + change)), pairs)


def compared(
    clean: Float[Array, "P V"], logits: Float[Array, "P V"], pairs: Int[AnyArray, "P 2"]
) -> tuple[Float[Array, " P"], Float[Array, " P"]]:
    """Difference of the answers' logits, and the divergence from the clean distribution."""
    log_p, log_q = jax.nn.log_softmax(clean), jax.nn.log_softmax(logits)
    kl = jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)
    answers = jnp.take_along_axis(logits, jnp.asarray(pairs), axis=1)
    return answers[:, 0] - answers[:, 1], jnp.maximum(kl, 0)
