"""Training learns, weighs what it is told to weigh, and an interrupted run ends where an uninterrupted one does."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.forward import next_token_logits
from causeway.engine.model.transformer import Transformer
from causeway.engine.tasks import suite
from causeway.engine.train.batches import Batch, Bucket, TaskBatches, TextBatches, encode_examples, join_documents
from causeway.engine.train.checkpoint import Checkpoints
from causeway.engine.train.language_model import (
    Schedule,
    answers_right,
    make_optimiser,
    mean_loss,
    task_accuracy,
    text_loss,
    train,
)

VOCABULARY = 16
SCHEDULE = Schedule(steps=6, learning_rate=3e-3, warmup_steps=2, checkpoint_every=2)


class Letters:
    """A tokenizer of single characters."""

    vocab_size, bos_id, eos_id, fingerprint = 128, 0, 1, "letters"

    def encode(self, text, unknown=False):
        return [ord(c) % 128 for c in text]

    def decode(self, ids):
        return "".join(map(chr, ids))


def model(seed=0, vocab_size=VOCABULARY):
    config = ModelConfig("llama", 1, 16, 2, 1, 8, 32, vocab_size, 64)
    return Transformer(config, Numerics(), rngs=nnx.Rngs(seed))


def counting(step):
    """Rows that count upwards from a random start: learnable, and another draw every step."""
    starts = np.random.default_rng([7, step]).integers(VOCABULARY, size=(8, 1))
    tokens = ((starts + np.arange(12)) % VOCABULARY).astype(np.int32)
    return (Batch(tokens, np.ones(tokens.shape, np.float32)),)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.slow
def test_training_learns_to_count():
    losses = []
    trained = train(
        model(), counting, Schedule(60, 1e-2, 5, weight_decay=0.0), report=lambda step, loss: losses.append(float(loss))
    )
    assert losses[0] == pytest.approx(np.log(VOCABULARY), rel=0.05)
    assert losses[-1] < 0.5
    assert answers_right(trained, Batch(counting(99)[0].tokens, np.tile(np.arange(12) > 0, (8, 1)))).all()


@pytest.mark.slow
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path):
    whole = train(model(), counting, SCHEDULE)
    seen = []

    def interrupted_at(step):
        if step == 5:
            raise KeyboardInterrupt
        seen.append(step)
        return counting(step)

    with Checkpoints(tmp_path, {"seed": 0}) as checkpoints, pytest.raises(KeyboardInterrupt):
        train(model(), interrupted_at, SCHEDULE, checkpoints)
    with Checkpoints(tmp_path, {"seed": 0}) as checkpoints:
        steps = []
        resumed = train(model(seed=9), counting, SCHEDULE, checkpoints, lambda step, loss: steps.append(step))
    assert (seen, steps) == ([0, 1, 2, 3, 4], [5, 6])
    assert same(whole, resumed)


def test_a_finished_run_is_only_read(tmp_path):
    with Checkpoints(tmp_path, {}) as checkpoints:
        trained = train(model(), counting, SCHEDULE, checkpoints)
    with Checkpoints(tmp_path, {}) as checkpoints:
        again = train(model(seed=9), lambda step: pytest.fail("no step is left"), SCHEDULE, checkpoints)
    assert same(trained, again)


def test_the_loss_is_the_weighted_mean_over_all_batches():
    rng = np.random.default_rng(0)
    batches = tuple(
        Batch(rng.integers(VOCABULARY, size=shape).astype(np.int32), rng.random(shape).astype(np.float32))
        for shape in ((3, 7), (2, 5))
    )
    total = weight = 0.0
    for batch in batches:
        logs = jax.nn.log_softmax(next_token_logits(model(), batch.tokens), axis=-1)
        for row, t in np.ndindex(batch.tokens.shape):
            if t:
                total -= batch.weights[row, t] * logs[row, t - 1, batch.tokens[row, t]]
                weight += batch.weights[row, t]
    np.testing.assert_allclose(mean_loss(model(), batches), total / weight, rtol=1e-5)


def test_tokens_of_no_weight_and_after_the_text_do_not_matter():
    (batch,) = counting(0)
    weights = batch.weights.copy()
    weights[:, 8:] = 0
    other = batch.tokens.copy()
    other[:, 8:] = 3
    a, b = (jax.grad(mean_loss)(model(), (Batch(tokens, weights),)) for tokens in (batch.tokens, other))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), a, b)


def test_decay_leaves_gains_alone():
    optimiser = make_optimiser(Schedule(10, 0.1, 0, weight_decay=0.5))

    @jax.jit
    def step(transformer):
        zero = jax.tree.map(jnp.zeros_like, transformer)
        update, _ = optimiser.update(zero, optimiser.init(transformer), transformer)
        return optax.apply_updates(transformer, update)

    after = step(model())
    np.testing.assert_array_equal(after.blocks.mlp_norm.gain[...], 1)
    np.testing.assert_array_equal(after.final_norm.gain[...], 1)
    np.testing.assert_allclose(after.embedding[...], 0.95 * model().embedding[...], rtol=1e-5)


def test_task_batches_depend_on_seed_and_step_and_weigh_answers():
    buckets = (Bucket({"addition": 1.0}, 4, 16), Bucket({"capitals": 1.0}, 2, 60))
    batches = TaskBatches(Letters(), buckets, seed=0, prompt_weight=0.25)
    assert [b.tokens.shape for b in batches(3)] == [(4, 16), (2, 60)]
    assert same(batches(3), batches(3))
    assert not same(batches(3), batches(4))
    example = suite.draw("addition", "train", 1, seed=0)[0]
    batch = encode_examples([example], Letters(), 16, prompt_weight=0.25, training=True)
    prompt, answer = len(example.prompt), len(example.answer)
    expected = [0] + [0.25] * prompt + [1.0] * (answer + 1) + [0.0] * (14 - prompt - answer)
    np.testing.assert_array_equal(batch.weights[0], expected)
    assert bytes(batch.tokens[0, 1 : 1 + prompt + answer].tolist()).decode() == example.text


def test_items_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="too short"):
        encode_examples(suite.draw("addition", "train", 1, seed=0), Letters(), 6, 0.0, training=True)


def test_text_batches_are_windows_of_the_text():
    ids = np.arange(50, dtype=np.int32)
    batches = TextBatches(ids, rows=3, length=10, seed=0)
    (batch,) = batches(0)
    np.testing.assert_array_equal(np.diff(batch.tokens, axis=1), 1)
    assert batch.weights[:, 0].sum() == 0
    assert not same(batches(0), batches(1))
    with pytest.raises(ValueError, match="give more text"):
        TextBatches(ids[:5], rows=3, length=10, seed=0)


def test_documents_are_joined_between_their_specials():
    np.testing.assert_array_equal(join_documents(["ab", "c"], Letters()), [0, 97, 98, 1, 0, 99, 1])


def test_evaluation_gives_a_figure_for_each_task():
    untrained = model(vocab_size=128)
    accuracy = task_accuracy(untrained, Letters(), ["addition"], length=16, count=5)
    assert accuracy == {"addition": 0.0}
    loss = text_loss(untrained, TextBatches(np.arange(40, dtype=np.int32), 2, 8, 0), count=2)
    assert loss == pytest.approx(np.log(128), rel=0.05)


def test_a_warm_up_longer_than_the_run_is_refused():
    with pytest.raises(ValueError, match="warmup_steps"):
        Schedule(steps=10, warmup_steps=10)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_training_unsaved(tmp_path):
    """From the step whose weights do it: those before it are kept."""
    transformer = model()
    transformer.blocks.mlp.down.value = transformer.blocks.mlp.down[...] * 1e38
    with (
        Checkpoints(tmp_path, {}) as checkpoints,
        pytest.raises(NotFiniteError, match=r"step 1: loss or gradient are not numbers .*layer 0 mlp_out reaches"),
    ):
        train(transformer, counting, SCHEDULE, checkpoints)
    with Checkpoints(tmp_path, {}) as checkpoints:
        assert checkpoints.latest_step is None
