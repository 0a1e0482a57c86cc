"""The circuit pipeline's attribution as it was published, so that earlier results can be reconciled.

    A_i = f_i |g_i|          f = encode(x)          g = W_enc^T (d logit / d x) + b_enc
                                                    x = resid_pre of the layer at the last token

These are not attributions; use `attribute`. What is wrong:

- x is the stream before the block, not what the transcoder reads (the normalised input of the MLP), so f are values of
  features that the model does not have.
- g puts a gradient through the encoder, bias included. What a feature does to the logit is W_dec . d logit / d mlp_out.
- |g| drops the sign, so that a feature that speaks against the answer looks like one that speaks for it, and a
  difference of two such sizes is no contribution to the difference of two logits.
- The gradient runs through all later MLPs, attention patterns and norms: indirect paths are counted with direct ones.
- Only the last token is looked at, which leaves out most of a recall circuit.
- The aggregate keeps features met in 20 % of the prompts and averages over those prompts alone.

Cost: a forward and a backward pass, and an encode a layer, for each target token.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.dictionary.finite import refuse_features
from causeway.engine.frozen.record import record_prompt
from causeway.engine.frozen.sources import Transcoders
from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.edits import Edit, EditSpec
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.finite import all_finite
from causeway.engine.model.forward import causal_pass
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision

MIN_FREQUENCY = 0.2
THRESHOLD = 0.01
TOP_K = 10


def published_attribution(
    model: Model, transcoders: Transcoders, prompt: str | Sequence[int], target: int
) -> Float[np.ndarray, "P F"]:
    """activation x |encoded gradient| at the last token, a row for each layer of the transcoders, in their order.

    Raises:
        ValueError: a target outside the vocabulary, or a prompt that the model cannot be run on.
        NotFiniteError: the pass, its gradient or a feature is not all numbers.
    """
    tokens = model.tokens(prompt)
    if not 0 <= target < model.config.vocab_size:
        raise ValueError(
            f"target: token {target} is outside the vocabulary of {model.name} (0..{model.config.vocab_size - 1})"
        )
    x, g = _streams_and_gradients(model.transformer, jnp.asarray(tokens, jnp.int32), jnp.int32(target))
    rows = [_product(transcoders, x[at], g[at], place) for place, at in enumerate(transcoders.config.layers)]
    found = np.stack([np.asarray(row) for row in rows])
    if not all_finite(found):
        record_prompt(model.transformer, tokens, transcoders.config)
        place, feature = np.unravel_index(np.argmin(np.isfinite(found)), found.shape)
        refuse_features(int(feature), transcoders.config.layers[place], transcoders)
    return found


@jax.jit
@full_precision
def _streams_and_gradients(
    transformer: Transformer, tokens: Int[Array, " T"], target: Int[Array, ""]
) -> tuple[Float[Array, "L D"], Float[Array, "L D"]]:
    """resid_pre of every layer at the last token, and the logit's gradient there through the whole model."""
    config, layers = transformer.config, np.arange(transformer.config.num_layers)
    tap = bind_tap(TapSpec("resid_pre", "raw", tuple(layers.tolist())), None)
    # Slot l adds a vector to layer l's stream at the last token: the stream itself and 1 times the vector.
    ones, last = np.ones((1, len(layers)), np.float32), np.full((1, len(layers)), len(tokens) - 1)
    spec, slots = EditSpec("resid_pre", "swap"), layers[None]
    edit = Edit(slots, slots, last, last + 1, scale=ones, shift=ones, writer=slots, spec=spec)

    def logit(added: Float[Array, "L D"]) -> tuple[Array, Array]:
        bound = bind(dataclasses.replace(edit, vectors=added[None]))
        out = causal_pass(transformer, tokens[None], Instruments((bound,), (tap,)))
        return out.logits[0, -1, target], jnp.asarray(out.records[0].values)[:, 0, -1]

    nothing = jnp.zeros((len(layers), config.d_model), transformer.numerics.accumulate_dtype)
    gradients, streams = jax.grad(logit, has_aux=True)(nothing)
    return streams.astype(gradients.dtype), gradients


@partial(jax.jit, static_argnames="place")
@full_precision
def _product(transcoders: Transcoders, x: Float[Array, " D"], g: Float[Array, " D"], place: int) -> Float[Array, " F"]:
    encoded = g @ transcoders.W_enc[...][place].astype(g.dtype) + transcoders.b_enc[...][place].astype(g.dtype)
    return transcoders.encode_at(transcoders.config.layers[place], x) * jnp.abs(encoded)


@dataclasses.dataclass(frozen=True)
class PublishedAggregate:
    """The published aggregate: features met often enough, in the order of layer and number.

    Attributes:
        prompts: how many were given. layer, feature, count: of each feature kept. correct, incorrect: mean
            attribution over the `count` prompts that have it.
    """

    prompts: int
    layer: Int[np.ndarray, " N"]
    feature: Int[np.ndarray, " N"]
    count: Int[np.ndarray, " N"]
    correct: Float[np.ndarray, " N"]
    incorrect: Float[np.ndarray, " N"]


def published_aggregate(
    attributions: Iterable[tuple[Float[np.ndarray, "P F"], Float[np.ndarray, "P F"]]],
    layers: Sequence[int],
    *,
    top_k: int = TOP_K,
    threshold: float = THRESHOLD,
    min_frequency: float = MIN_FREQUENCY,
) -> PublishedAggregate:
    """Features that are among a layer's `top_k` by |difference|, above `threshold`, in a share of the prompts.

    Selection and means are over the prompts that have the feature, which makes rare strong features look like common
    ones; `attribution.aggregate` counts the others as 0.

    Args:
        attributions: published attribution of the correct and of the incorrect token, for each prompt.
        layers: of the rows.

    Raises:
        ValueError: no prompts.
    """
    found: dict[tuple[int, int], tuple[int, float, float]] = {}
    prompts = 0
    for correct, incorrect in attributions:
        prompts += 1
        size = np.abs(correct - incorrect)
        for row, at in enumerate(layers):
            for feature in map(int, np.argsort(-size[row], kind="stable")[:top_k]):
                if size[row, feature] > threshold:
                    count, total, other = found.get((at, feature), (0, 0.0, 0.0))
                    sums = total + float(correct[row, feature]), other + float(incorrect[row, feature])
                    found[at, feature] = (count + 1, *sums)
    if not prompts:
        raise ValueError("attributions: none; needs those of one prompt or more")
    kept = sorted(key for key, (count, *_) in found.items() if count >= int(prompts * min_frequency))
    table = np.array([(*key, *found[key]) for key in kept], float).reshape(-1, 5).T
    layer, feature, count = table[:3].astype(np.int64)
    return PublishedAggregate(prompts, layer, feature, count, table[3] / count, table[4] / count)
