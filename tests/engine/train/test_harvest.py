"""Harvested activations are the pass's own; every counted token is served once an epoch; a step's data is its own."""

import numpy as np
import pytest

from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.forward import run
from causeway.engine.train.corpus import Corpus
from causeway.engine.train.harvest import Shuffled, Source

LAYERS = (2, 0)


@pytest.fixture(scope="module")
def source(transformer):
    rng = np.random.default_rng(0)
    corpus = Corpus(rng.integers(0, 40, (37, 8)).astype(np.int32), rng.integers(2, 9, 37).astype(np.int32), first=1)
    return Source(transformer, corpus, "resid_post", LAYERS)


def test_values_are_those_of_the_pass_at_counted_tokens(source, transformer):
    rows = np.array([5, 30, 7])
    values = source.read(rows)
    tap = bind_tap(TapSpec("resid_post", "raw", LAYERS), None)
    corpus = source.corpus
    full = run(transformer, corpus.tokens[rows], Instruments((), (tap,)), corpus.lengths[rows]).records[0].values
    expected = np.concatenate([full[:, i, 1 : corpus.lengths[r]] for i, r in enumerate(rows)], axis=1)
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)


def test_a_transcoder_reads_both_streams_in_one_pass(source, transformer):
    both = Source(transformer, source.corpus, "mlp_in", LAYERS, "mlp_act")
    assert (both.d_in, both.width) == (16, 16 + 24)
    rows = np.array([5, 30, 7])
    apart = [Source(transformer, source.corpus, stream, LAYERS).read(rows) for stream in ("mlp_in", "mlp_act")]
    np.testing.assert_allclose(both.read(rows), np.concatenate(apart, axis=-1), rtol=1e-5, atol=1e-6)
    data = Shuffled(both, 9, 3, 1)
    assert (data.d_in, data.width) == (16, 40)
    assert data.buffer(0)[0].shape == (2, data.capacity, 40)


@pytest.mark.parametrize("budget", [1, 1024])
def test_a_step_is_served_the_same_however_it_is_reached(transformer, budget):
    rng = np.random.default_rng(1)
    corpus = Corpus(rng.integers(0, 40, (600, 33)).astype(np.int32), np.full(600, 33, np.int32), first=1)
    source = Source(transformer, corpus, "resid_post", (0, 1, 2))

    def batch(data, step):
        buffer, places = data(step)
        return np.asarray(buffer)[:, places]

    data = Shuffled(source, 256, 0, budget)
    steps = [0, 1, data.batches_per_chunk, 2 * data.batches_per_chunk]
    in_order = [batch(data, step) for step in steps]
    for step, expected in reversed(list(zip(steps, in_order, strict=True))):
        np.testing.assert_array_equal(batch(Shuffled(source, 256, 0, budget), step), expected)
    assert (in_order[0] != in_order[1]).any()
    assert data.capacity * 3 * 16 * 4 <= budget << 20


def test_every_token_is_served_once_an_epoch(source):
    data = Shuffled(source, 9, 3, 1)
    buffer, count = data.buffer(0)
    assert count == source.corpus.counts.sum()
    places = np.concatenate([data(step)[1] for step in range(data.batches_per_chunk)])
    assert len(np.unique(places)) == len(places) == count // 9 * 9
    assert not np.asarray(buffer)[:, count:].any()


def test_bad_input_is_refused_before_anything_is_read(source, transformer, refuses):
    with refuses("batch: 4096 tokens"):
        Shuffled(source, 4096, 0, 1)
    with refuses("layers: got"):
        Source(transformer, source.corpus, "resid_post", (3,))
    with refuses("logits"):
        Source(transformer, source.corpus, "mlp_in", (0,), "logits")
    with refuses("attn_pattern"):
        Source(transformer, source.corpus, "attn_pattern", (0,))
