"""Training batches as a pure function of the step: what makes an interrupted run continue with the same data.

A batch is tokens and the weight of predicting each of them. A step's data is a tuple of batches of fixed shapes
(buckets): long and short texts sit in different buckets, so little is padded and nothing recompiles.

`TaskBatches` draws items of synthetic tasks; answers (with the end-of-sequence token) weigh 1, prompts
`prompt_weight`. `TextBatches` cuts random windows out of one long token sequence; everything weighs 1.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.model.text import Tokenizer, continued, with_bos, with_eos
from causeway.engine.tasks import suite
from causeway.engine.tasks.example import Example


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """tokens [B, T]; weights [B, T]: how much predicting tokens[b, t] from those before it counts (0 for padding)."""

    tokens: Int[Array | np.ndarray, "B T"]
    weights: Float[Array | np.ndarray, "B T"]


BatchesAt = Callable[[int], tuple[Batch, ...]]


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Rows of one length and the shares of the tasks that fill them."""

    tasks: Mapping[str, float]
    rows: int
    length: int


def encode_examples(
    examples: Sequence[Example], tokenizer: Tokenizer, length: int, prompt_weight: float, training: bool
) -> Batch:
    """Items as <bos> prompt answer <eos>, padded on the right.

    Args:
        examples: B items.
        tokenizer: must have begin- and end-of-sequence tokens.
        length: T.
        prompt_weight: weight of the prompt's tokens; answers weigh 1.
        training: whether to use the (perhaps noisy) training answers.

    Raises:
        ValueError: an item has more than `length` tokens, or the tokenizer lacks bos or eos.
    """
    if tokenizer.bos_id is None or tokenizer.eos_id is None:
        raise ValueError("tokenizer: has no begin- or end-of-sequence token; training on tasks needs both")
    tokens = np.full((len(examples), length), tokenizer.eos_id, np.int32)
    weights = np.zeros((len(examples), length), np.float32)
    for row, example in enumerate(examples):
        answer_text = (training and example.train_answer) or example.answer
        own, [answer] = continued(tokenizer, example.prompt, [answer_text])
        prompt = with_bos(tokenizer, own)
        ids = with_eos(tokenizer, [*prompt, *answer])
        if len(ids) > length:
            raise ValueError(f"length: {length} is too short for {example.text!r}, which has {len(ids)} tokens")
        tokens[row, : len(ids)] = ids
        weights[row, 1 : len(prompt)] = prompt_weight
        weights[row, len(prompt) : len(ids)] = 1.0
    return Batch(tokens, weights)


@dataclasses.dataclass(frozen=True)
class TaskBatches:
    """Training items of the synthetic tasks, drawn afresh at every step."""

    tokenizer: Tokenizer
    buckets: tuple[Bucket, ...]
    seed: int
    prompt_weight: float

    def __call__(self, step: int) -> tuple[Batch, ...]:
        """The batches of a step, one a bucket."""
        rng = np.random.default_rng([self.seed, step])
        return tuple(
            encode_examples(
                suite.mixture(dict(bucket.tasks), "train", bucket.rows, rng),
                self.tokenizer,
                bucket.length,
                self.prompt_weight,
                training=True,
            )
            for bucket in self.buckets
        )


@dataclasses.dataclass(frozen=True)
class TextBatches:
    """Windows of `length` tokens at random places of one sequence `ids` [N]."""

    ids: Int[np.ndarray, " N"]
    rows: int
    length: int
    seed: int

    def __post_init__(self):
        if len(self.ids) < self.length:
            raise ValueError(f"ids: {len(self.ids)} tokens do not fill a window of {self.length}; give more text")

    def __call__(self, step: int) -> tuple[Batch, ...]:
        """The batch of a step."""
        rng = np.random.default_rng([self.seed, step])
        starts = rng.integers(len(self.ids) - self.length + 1, size=self.rows)
        tokens = self.ids[starts[:, None] + np.arange(self.length)].astype(np.int32)
        weights = np.ones(tokens.shape, np.float32)
        weights[:, 0] = 0.0
        return (Batch(tokens, weights),)


def join_documents(texts: Sequence[str], tokenizer: Tokenizer) -> Int[np.ndarray, " N"]:
    """All texts as one sequence, each between <bos> and <eos> where the tokenizer has them, once."""
    documents = (with_bos(tokenizer, tokenizer.encode(text, unknown=True)) for text in texts)
    return np.array([i for ids in documents for i in with_eos(tokenizer, ids)], np.int32)
