"""`cw.logit_lens`: which next token the stream speaks of at each layer, read by the model's own unembedding.

    logits_l[t] = unembed(final_norm(x_l[t]))

Source: nostalgebraist 2020, "interpreting GPT: the logit lens". Cost: one pass, and L T unembeddings of D V operations
each; a layer's logits are in memory at a time, of which the k largest are kept.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine import scalars
from causeway.engine.calls.run import run
from causeway.engine.model.handle import Model, Prompt, check_model
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision
from causeway.kernels.top_k import top_k

STREAMS = ("resid_pre", "resid_mid", "resid_post")


@dataclasses.dataclass(frozen=True)
class LogitLens:
    """What a prompt's stream says at each layer.

    Attributes:
        tokens: ids that the prompt was run as.
        ids: the most probable next tokens of each layer and token, most probable first [L, T, k].
        log_probabilities: theirs [L, T, k].
        texts: theirs, as `Model.text_of` gives them [L][T][k].
    """

    tokens: tuple[int, ...]
    ids: Int[np.ndarray, "L T k"]
    log_probabilities: Float[np.ndarray, "L T k"]
    texts: tuple[tuple[tuple[str, ...], ...], ...]

    def __repr__(self) -> str:
        layers, length, width = self.ids.shape
        last = ", ".join(repr(layer[-1][0]) for layer in self.texts)
        return f"LogitLens({layers} layers, {length} tokens, {width} each; at the last token: {last})"


def logit_lens(model: Model, prompt: Prompt, *, stream: str = "resid_post", width: int = 10) -> LogitLens:
    """Read the residual stream of a prompt at each layer with the final norm and the unembedding.

    Args:
        model: a loaded model.
        prompt: text or token ids.
        stream: resid_pre, resid_mid or resid_post, by any name that the model reads.
        width: tokens kept of each layer and position.

    Raises:
        ValueError: another stream, or more tokens than the vocabulary has.
    """
    check_model(model)
    width, place = scalars.integer(width, "width", 1, model.config.vocab_size), model.place(stream, "stream")
    if place.stream not in STREAMS or place.layer is not None:
        raise ValueError(f"stream: got {scalars.shown(stream)}; needs {', '.join(STREAMS)}, of all layers")
    out = run(model, [model.tokens(prompt)], taps=place.stream, logits=None)
    found = _strongest(model.transformer, jnp.asarray(out[place.stream][0]), width)
    values, ids = map(np.asarray, found)
    texts = tuple(tuple(tuple(model.text_of([i]) for i in row) for row in layer) for layer in ids.tolist())
    return LogitLens(out.tokens[0], ids, values, texts)


@partial(jax.jit, static_argnames="width")
@full_precision
def _strongest(transformer: Transformer, x: Float[Array, "L T D"], width: int) -> tuple[Array, Array]:
    """Log probabilities and ids of the most probable tokens [L, T, k], layer after layer."""

    def one(layer: Float[Array, "T D"]) -> tuple[Array, Array]:
        return top_k(jax.nn.log_softmax(transformer.logits(transformer.final_norm(layer))), width)

    return jax.lax.map(one, x)
