"""Directions of logits: columns of the unembedding, whose inner products with `final_norm` are logits.

    token      U_t - mean_v U_v               logit of t above the mean logit of the vocabulary
    answers    mean_i (U_right_i - U_wrong_i) the mean logit difference that a prompt's answers call for

right_i and wrong_i are the tokens in which the answers of prompt i part (`engine/outcome/divergence.py`). A vector has
its natural scale: its inner product with `final_norm` is in logits, before a soft cap where a model has one.

Shapes: R directions, D model, V vocabulary.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from causeway.engine import scalars
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import Transformer
from causeway.engine.outcome.divergence import first_divergence
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.representations import Representations
from causeway.engine.tokenized_prompt import tokenized


def check_logits(found: Representations, model: Model) -> None:
    """Refuse representations that logits are no inner products with.

    Raises:
        ValueError: of another stream than final_norm, or of another model.
    """
    if found.stream != "final_norm":
        raise ValueError(
            f"token_directions: the representations are of {found.stream}.{found.layer}, but logits are inner products "
            "with final_norm alone; represent that stream"
        )
    found.check_of_model(model)


def unembedding(transformer: Transformer, ids: Int[np.ndarray, " R"]) -> Float[np.ndarray, "R D"]:
    """Columns of the unembedding less their mean over the vocabulary, in float64."""
    tied = transformer.config.tied_embeddings
    weight, axis = (transformer.embedding[...], 0) if tied else (transformer.unembedding[...], 1)
    columns = np.asarray(jnp.take(weight, ids, axis=axis), np.float64)
    mean = np.asarray(jnp.mean(weight, axis=axis, dtype=jnp.promote_types(weight.dtype, jnp.float32)), np.float64)
    return (columns if tied else columns.T) - mean


def token_id(model: Model, prompt: PromptRecord, text: str) -> int:
    """The one token that a text is after a prompt, or that of id:73.

    Raises:
        ValueError: it is several tokens there, or no token of the vocabulary.
    """
    number = scalars.text(text, "token_directions").removeprefix("id:")
    if number != text and number.isdigit():
        return scalars.integer(int(number), "token_directions: id", 0, model.config.vocab_size - 1)
    [ids] = model.answer_tokens(prompt.content, [text])
    if len(ids) != 1:
        raise ValueError(
            f"token_directions: {text!r} is {len(ids)} tokens of {model.name} ({ids}); needs one, such as id:{ids[0]}"
        )
    return ids[0]


def token_vectors(model: Model, prompt: PromptRecord, texts: Sequence[str]) -> dict[str, Float[np.ndarray, " D"]]:
    """The direction of each token by its name, token:TEXT.

    Args:
        prompt: after which texts are read as tokens.

    Raises:
        ValueError: see `token_id`; or a text twice.
    """
    ids = [token_id(model, prompt, text) for text in texts]
    if len(set(ids)) < len(ids):
        raise ValueError(f"token_directions: got {', '.join(map(repr, texts))}; needs each token once")
    vectors = unembedding(model.transformer, np.array(ids, int))
    return {f"token:{text}": vector for text, vector in zip(texts, vectors, strict=True)}


def answers_vector(model: Model, records: Sequence[PromptRecord]) -> Float[np.ndarray, " D"]:
    """The mean difference of the columns of right and wrong answers.

    Raises:
        ValueError: no prompt has a right and a wrong answer, or all differences cancel.
    """
    prompts = [tokenized(model, record) for record in records if record.is_pair]
    if not prompts:
        raise ValueError("answers_direction: no prompt that is fitted on has a right and a wrong answer")
    ids = np.array([first_divergence(prompt.tokens, prompt.pair).tokens for prompt in prompts])
    right, wrong = (unembedding(model.transformer, column) for column in ids.T)
    found = (right - wrong).mean(axis=0)
    if np.linalg.norm(found) < 1e-6 * np.linalg.norm(right - wrong, axis=1).mean():
        raise ValueError(
            "answers_direction: the differences of right and wrong answers cancel over the prompts (each answer is as "
            "often right as wrong); needs prompts of one side"
        )
    return found
