"""A small decoder from scratch: next-token loss, AdamW, warm-up and cosine decay, checkpoints.

    loss = sum_bt w_bt * -log p(token_bt | tokens_b,<t) / sum_bt w_bt

over all batches of a step. The weights w say what is to be learned (answers more than prompts, padding not at all).
Everything random is a function of (seed, step): data come from `batches_at(step)` and the initial weights from the
caller, so a run that is killed and started again is the run that was never killed, to the bit on one kind of device.

Cost: 6 x parameters x tokens operations a step, plus attention; memory: weights, two optimiser moments, activations.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from causeway.engine.model.finite import traced
from causeway.engine.model.forward import causal_pass, next_token_logits
from causeway.engine.model.text import Tokenizer
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision
from causeway.engine.progress import Step
from causeway.engine.scalars import integer, real
from causeway.engine.tasks import suite
from causeway.engine.train.batches import Batch, BatchesAt, TextBatches, encode_examples
from causeway.engine.train.checkpoint import Checkpoints, keeping


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: optimiser steps in all.
        learning_rate: peak of the schedule.
        warmup_steps: linear rise from 0; then a cosine to 1 % of the peak at `steps`.
        weight_decay: decoupled, on matrices only (norm gains and biases are not decayed).
        clip_norm: largest global gradient norm.
        checkpoint_every: steps between checkpoints (one is always written at the end).
    """

    steps: int
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    checkpoint_every: int = 250

    def __post_init__(self):
        for name, low in (("steps", 1), ("warmup_steps", 0), ("checkpoint_every", 1)):
            integer(getattr(self, name), name, low)
        for name in ("learning_rate", "weight_decay", "clip_norm"):
            real(getattr(self, name), name, 0)
        if not 0 <= self.warmup_steps < self.steps:
            raise ValueError(
                f"warmup_steps: got {self.warmup_steps}; needs at least 0 and less than steps = {self.steps}"
            )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """What a checkpoint holds: the weights and the optimiser's moments."""

    transformer: Transformer
    moments: optax.OptState


def train(
    transformer: Transformer,
    batches_at: BatchesAt,
    schedule: Schedule,
    checkpoints: Checkpoints | None = None,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> Transformer:
    """Train to the end of the schedule, from the latest checkpoint if there is one.

    Args:
        transformer: initial weights (donated).
        batches_at: the data of a step; shapes must not change from step to step.
        schedule: steps and rates.
        checkpoints: where to save and resume; None trains in memory only.
        report: called with (steps done, loss) after every step; the loss is a device scalar, so reading it waits.

    Raises:
        Stopped: a signal came, and the steps done are saved.
        NotFiniteError: a step's loss or gradient are not numbers; it names the step, and layer and site where the pass
            itself ends so. No checkpoint is written after that.
    """
    state, first = TrainState(transformer, make_optimiser(schedule).init(transformer)), 0
    if checkpoints is not None and (found := checkpoints.restore(state)) is not None:
        first, state = found
    check = partial(_check_loss, batches_at)
    with (
        Step("model trained", schedule.steps, "step", done=first) as told,
        keeping(checkpoints, schedule.checkpoint_every, schedule.steps, check) as keep,
    ):
        for step in range(first, schedule.steps):
            state, loss = _update(state, batches_at(step), schedule)
            report(step + 1, loss)
            keep(step + 1, state, loss)
            told.advance()
    return state.transformer


def _check_loss(batches_at: BatchesAt, step: int, state: TrainState, loss: Float[Array, ""]) -> None:
    """Refuse a step without a loss. `_update` has not made it, so that the weights still show where numbers end."""
    if math.isfinite(float(loss)):
        return
    for batch in batches_at(step - 1):
        error = traced(partial(full_precision(causal_pass), state.transformer, jnp.asarray(batch.tokens[:, :-1])))
        raise error.of(f"step {step}: loss or gradient are not numbers (lower the learning rate?)")


def make_optimiser(schedule: Schedule) -> optax.GradientTransformation:
    """Clipping, AdamW, warm-up and cosine decay."""
    rate = optax.warmup_cosine_decay_schedule(
        0.0, schedule.learning_rate, schedule.warmup_steps, schedule.steps, end_value=0.01 * schedule.learning_rate
    )
    return optax.chain(
        optax.clip_by_global_norm(schedule.clip_norm),
        optax.adamw(rate, b2=0.98, weight_decay=schedule.weight_decay, mask=_decayed),
    )


@jax.jit
def mean_loss(transformer: Transformer, batches: tuple[Batch, ...]) -> Float[Array, ""]:
    """Weighted mean negative log-likelihood in nats per token."""
    sums, weights = zip(*(_weighted_sum(transformer, batch) for batch in batches), strict=True)
    return jnp.sum(jnp.stack(sums)) / jnp.sum(jnp.stack(weights))


@jax.jit
def answers_right(transformer: Transformer, batch: Batch) -> Bool[Array, " B"]:
    """Whether the most probable token is the right one wherever the weight is positive.

    With weights on the answers alone this equals "the greedy answer is exactly right": until its first mistake,
    greedy decoding sees the same tokens as teacher forcing.
    """
    best = jnp.argmax(next_token_logits(transformer, jnp.asarray(batch.tokens[:, :-1])), axis=-1)
    return jnp.all((best == batch.tokens[:, 1:]) | (batch.weights[:, 1:] == 0), axis=-1)


@partial(jax.jit, static_argnames="schedule", donate_argnames="state")
def _update(state: TrainState, batches: tuple[Batch, ...], schedule: Schedule) -> tuple[TrainState, Float[Array, ""]]:
    """One step, and the loss before it; where loss or gradient are not numbers, a loss of NaN and the state as it was.

    All weights would be NaN else, and nothing would tell where that began.
    """
    loss, gradient = jax.value_and_grad(mean_loss)(state.transformer, batches)
    loss = jnp.where(jnp.isfinite(optax.global_norm(gradient)), loss, jnp.nan)
    step, moments = make_optimiser(schedule).update(gradient, state.moments, state.transformer)
    after = TrainState(optax.apply_updates(state.transformer, step), moments)
    return jax.tree.map(partial(jnp.where, jnp.isfinite(loss)), after, state), loss


def _weighted_sum(transformer: Transformer, batch: Batch) -> tuple[Array, Array]:
    logits = next_token_logits(transformer, jnp.asarray(batch.tokens[:, :-1]))
    weights = batch.weights[:, 1:]
    nll = optax.softmax_cross_entropy_with_integer_labels(logits, batch.tokens[:, 1:])
    return jnp.sum(weights * nll), jnp.sum(weights)


def _decayed(tree: Transformer) -> Transformer:
    """True where weight decay applies: not on gains and biases."""

    def decayed(path, _):
        name = jax.tree_util.keystr(path)
        return "gain" not in name and "bias" not in name

    return jax.tree_util.tree_map_with_path(decayed, tree)


def task_accuracy(
    transformer: Transformer, tokenizer: Tokenizer, tasks: Iterable[str], length: int, count: int = 200, seed: int = 0
) -> dict[str, float]:
    """Accuracy of each task on up to `count` distinct held-out items of at most `length` tokens, in one pass: the share
    whose greedy answer is exactly right, to the end-of-sequence token."""
    items = {task: suite.distinct(task, "held_out", count, seed) for task in tasks}
    examples = [example for drawn in items.values() for example in drawn]
    batch = encode_examples(examples, tokenizer, length, prompt_weight=0.0, training=False)
    right = np.asarray(answers_right(transformer, batch))
    ends = np.cumsum([len(drawn) for drawn in items.values()])
    return {task: float(part.mean()) for task, part in zip(items, np.split(right, ends[:-1]), strict=True)}


def text_loss(transformer: Transformer, batches: TextBatches, count: int = 8) -> float:
    """Mean loss in nats per token over `count` draws of windows."""
    return float(np.mean([mean_loss(transformer, batches(step)) for step in range(count)]))
