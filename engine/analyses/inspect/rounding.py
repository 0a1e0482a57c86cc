"""What a model lost when its weights were rounded, measured on text against the same model in float.

    largest      max |z - z'| over tokens and vocabulary, of logits z of the float model and z' of the rounded one
    divergence   mean over tokens of KL(softmax z || softmax z'), in nats
    agreement    share of tokens whose most probable next token is the same
    loss         mean next-token losses of both, in nats

Both models are in memory while they are compared. Cost: a pass of each over the rows; memory, the logits of one row.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.model.forward import next_token_logits
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision
from causeway.engine.train.corpus import Corpus
from causeway.engine.train.splice_loss import clean_loss


def rounding_account(exact: Transformer, rounded: Transformer, corpus: Corpus) -> dict[str, Any]:
    """The figures above.

    Args:
        exact: the model in float. rounded: the same model in fewer bits. corpus: rows of text.
    """
    rows = [
        _compared(exact, rounded, jnp.asarray(tokens)[None])[:, corpus.first : length]
        for tokens, length in zip(corpus.tokens, corpus.lengths, strict=True)
    ]
    largest, divergence, same = np.concatenate([np.asarray(row) for row in rows], axis=1)
    return {
        "storage": rounded.numerics.storage,
        "tokens": len(largest),
        "largest": float(largest.max()),
        "divergence": float(divergence.mean()),
        "agreement": float(same.mean()),
        "loss": clean_loss(exact, corpus),
        "loss_rounded": clean_loss(rounded, corpus),
    }


@jax.jit
@full_precision
def _compared(exact: Transformer, rounded: Transformer, tokens: Int[Array, "1 T"]) -> Float[Array, "3 T"]:
    """Largest difference, divergence and agreement at each token of a row."""
    z, other = (next_token_logits(model, tokens)[0].astype(jnp.float32) for model in (exact, rounded))
    log_p, log_q = jax.nn.log_softmax(z), jax.nn.log_softmax(other)
    divergence = jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)
    return jnp.stack([jnp.abs(z - other).max(-1), divergence, z.argmax(-1) == other.argmax(-1)])
