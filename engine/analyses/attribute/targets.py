"""What a graph explains: the most probable next tokens, named tokens, or any direction.

A token's logit is explained less the mean over the vocabulary, which moves no probability. A difference of two logits
is one direction, in which the mean cancels.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.graph import Logit
from causeway.engine.gathered import to_host
from causeway.engine.model.handle import Model, Prompt


@dataclasses.dataclass(frozen=True)
class Target:
    """A direction of the final norm's output, as weights of tokens' logits: {correct: 1, wrong: -1}.

    Attributes:
        label: text for reports.
        weights: token id -> weight.
        probability: its weight among the graph's targets.
    """

    label: str
    weights: Mapping[int, float]
    probability: float = 1.0


# What a person names as a target.
Wanted = Target | int | str


@dataclasses.dataclass(frozen=True)
class ChosenTargets:
    """Targets and their directions [K, D]."""

    logits: tuple[Logit, ...]
    vectors: Float[np.ndarray, "K D"]


def logit_difference(correct: int, wrong: int, label: str = "") -> Target:
    """The target `logit[correct] - logit[wrong]`.

    Raises:
        ValueError: both are one token.
    """
    correct, wrong = scalars.integer(correct, "correct"), scalars.integer(wrong, "wrong")
    scalars.text(label, "label")
    if correct == wrong:
        raise ValueError(f"logit_difference: correct and wrong are both token {correct}; give two tokens")
    return Target(label or f"{correct} - {wrong}", {correct: 1.0, wrong: -1.0})


def named_targets(
    model: Model, prompt: Prompt, wanted: Wanted | Sequence[Wanted] | None
) -> tuple[Target | int, ...] | None:
    """Targets of a prompt by token id or direction; None where the most probable tokens are wanted.

    Args:
        wanted: directions, token ids, and texts that are one token where they continue the prompt; one or several.

    Raises:
        ValueError: none, a bare text, a text that is not one token there, or an id outside the vocabulary.
    """
    if wanted is None:
        return None
    if isinstance(wanted, str):
        raise ValueError(f"targets: got the text {wanted!r}; needs a list, of single tokens or directions")
    listed = list(wanted) if isinstance(wanted, Iterable) else [wanted]
    if not listed:
        raise ValueError("targets: empty; give tokens or directions, or None for the most probable next tokens")
    return tuple(w if isinstance(w, Target) else _token_id(model, prompt, w) for w in listed)


def one_target(model: Model, prompt: Prompt, wanted: Wanted) -> Target:
    """The target that a token's id or text, or a direction, names.

    Raises:
        ValueError: see `named_targets`; or a token outside the vocabulary.
    """
    named = named_targets(model, prompt, [wanted]) or ()
    target = named[0] if isinstance(named[0], Target) else Target(model.text_of([named[0]]), {named[0]: 1.0})
    unembedding_vector(model, target)
    return target


def target_weights(model: Model, target: Target) -> Float[np.ndarray, " V"]:
    """A target as weights of all logits: single tokens less the mean logit."""
    weights = np.zeros(model.config.vocab_size, np.dtype(model.numerics.accumulate))
    for token, weight in target.weights.items():
        weights[token] += weight
    return weights - sum(target.weights.values()) / len(weights)


def choose_targets(
    model: Model,
    tokens: Sequence[int],
    logits: Float[np.ndarray, " V"],
    wanted: Sequence[Target | int] | None,
    plan: AttributionPlan,
) -> ChosenTargets:
    """The targets of one prompt from its last logits.

    Args:
        tokens: of the prompt. wanted: see `named_targets`.

    Raises:
        ValueError: a direction outside the vocabulary, or a zero one.
    """
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    p = shifted / shifted.sum()
    chosen = _most_probable(p, plan).tolist() if wanted is None else wanted
    targets = [w if isinstance(w, Target) else _token(model, tokens, w, p) for w in chosen]
    vectors = np.stack([unembedding_vector(model, target) for target in targets])
    return ChosenTargets(tuple(Logit(t.label, _only_token(t), t.probability) for t in targets), vectors)


def _most_probable(p: Float[np.ndarray, " V"], plan: AttributionPlan) -> np.ndarray:
    order = np.argsort(-p, kind="stable")[: plan.max_logits]
    count = int(np.searchsorted(np.cumsum(p[order]), plan.desired_logit_prob)) + 1
    return order[:count]


def _token(model: Model, tokens: Sequence[int], token: int, p: Float[np.ndarray, " V"]) -> Target:
    return Target(model.text_after(tokens, [token]), {token: 1.0}, float(p[token]))


def _token_id(model: Model, prompt: Prompt, wanted: int | str) -> int:
    if isinstance(wanted, str):
        return model.answer_token(prompt, wanted)
    token, size = scalars.integer(wanted, "targets"), model.config.vocab_size
    if token >= size:
        raise ValueError(f"targets: token {token} is outside the vocabulary of {model.name} (0..{size - 1})")
    return token


def _only_token(target: Target) -> int:
    return next(iter(target.weights)) if list(target.weights.values()) == [1.0] else -1


def unembedding_vector(model: Model, target: Target) -> Float[np.ndarray, " D"]:
    """A target as a direction of the final norm's output: weighted unembedding columns, a single token's less the mean.

    Raises:
        ValueError: a token outside the vocabulary, or weights that cancel.
    """
    ids, weights = np.array(list(target.weights), int), np.array(list(target.weights.values()))
    size = model.config.vocab_size
    if bad := [int(i) for i in ids if not 0 <= i < size]:
        raise ValueError(
            f"targets: token {bad[0]} of {target.label!r} is outside the vocabulary of {model.name} (0..{size - 1})"
        )
    transformer = model.transformer
    if transformer.config.tied_embeddings:
        matrix, axis = transformer.embedding[...], 0
    else:
        matrix, axis = transformer.unembedding[...], 1
    columns = jnp.moveaxis(jnp.take(matrix, jnp.asarray(ids), axis=axis), axis, 0)
    vector = weights @ to_host(columns).astype(np.float64)
    if total := weights.sum():  # the mean is a pass over the whole matrix
        vector = vector - total * _mean(matrix, axis)
    if not np.abs(vector).max() > 0:
        raise ValueError(f"targets: the direction {target.label!r} is zero; its weights cancel")
    return vector.astype(np.dtype(transformer.numerics.accumulate))


def _mean(array: jnp.ndarray, axis: int) -> np.ndarray:
    return to_host(jnp.mean(array, axis=axis, dtype=jnp.promote_types(array.dtype, jnp.float32))).astype(np.float64)
