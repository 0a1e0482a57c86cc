"""Many prompts in one batch: what each one gives alone, whatever the others are, by few programs."""

import numpy as np
import pytest

from causeway.engine.devices import compilations, local_parallel
from causeway.engine.model.decode import decode_segment
from causeway.engine.model.prompts import PromptRows, generate_prompts
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout

LENGTHS = (6, 9, 12, 14, 16, 3)
LAYOUT = Layout(4, (2, 3))


@pytest.fixture(scope="module")
def prompts():
    rng = np.random.default_rng(5)
    return [rng.integers(8, 40, length).tolist() for length in LENGTHS]


@pytest.fixture(scope="module")
def edit(tiny):
    """One row clean, one with a feature set at the last prompt token and at the new ones."""

    def make(length, first=None):
        start = length - 1 if first is None else first
        return tiny.make_edit(2, 2, layer=[[-1, -1], [2, -1]], feature=[[0, 0], [7, 0]], start=start, shift=4.0)

    return make


@pytest.fixture(scope="module")
def together(transformer, dictionary, taps, edit):
    def call(prompts, ids=None, first=None, **changes):
        ids = range(len(prompts)) if ids is None else ids
        wanted = [
            PromptRows(tokens, number, np.zeros(2, np.int64), (edit(len(tokens), first),), name=f"prompt {number}")
            for number, tokens in zip(ids, prompts, strict=True)
        ]
        usual = {"layout": LAYOUT, "sampling": Sampling(1.5, stop_tokens=(3, 4, 5, 6)), "seed": 1, "taps": taps}
        return generate_prompts(transformer, wanted, dictionary=dictionary, **usual | changes)

    return call


def leaves(generation):
    records = [array for record in generation.records for array in (record.values, record.valid)]
    return [generation.tokens, *records, *generation.before, *generation.after, *generation.applied]


@pytest.mark.slow
@pytest.mark.parametrize("first", [None, 0])
def test_each_prompt_continues_as_it_does_alone(together, prompts, edit, draw, first):
    found = together(prompts, first=first)
    for number, (tokens, got) in enumerate(zip(prompts, found, strict=True)):
        alone = draw(
            edit(len(tokens), first), prompt=tokens, prompt_id=number, trials=np.zeros(2, np.int64), layout=LAYOUT
        )
        assert got.prompt_tokens == tuple(tokens)
        np.testing.assert_array_equal(got.tokens, alone.tokens)
        for ours, theirs in zip(leaves(got), leaves(alone), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=3e-5)


def test_the_other_prompts_change_no_bit(together, prompts):
    found, chosen = together(prompts), [4, 0, 2]
    for number, got in zip(chosen, together([prompts[i] for i in chosen], chosen), strict=True):
        for ours, theirs in zip(leaves(got), leaves(found[number]), strict=True):
            assert ours.tobytes() == theirs.tobytes()


@pytest.mark.slow
def test_devices_change_no_bit(together, prompts):
    for one, four in zip(together(prompts), together(prompts, parallel=local_parallel(4)), strict=True):
        assert [a.tobytes() for a in leaves(one)] == [a.tobytes() for a in leaves(four)]


@pytest.mark.slow
def test_programs_are_counted_by_buckets_and_not_by_lengths(together):
    before = compilations(decode_segment)
    rng = np.random.default_rng(6)
    together([rng.integers(8, 40, length).tolist() for length in range(1, 17)])
    # Two buckets of two segments, the second of which takes rows as they come or repacked.
    assert compilations(decode_segment) - before <= 2 * 3


@pytest.mark.slow
def test_a_row_ends_with_what_its_prompt_says(together, prompts, transformer):
    (free,) = together(prompts[:1], sampling=Sampling(0.0))
    ends = PromptRows(prompts[0], 0, np.zeros(2, np.int64), ends=lambda tokens: np.array([1, 5]))
    (got,) = generate_prompts(transformer, [ends], layout=LAYOUT, sampling=Sampling(0.0), seed=1)
    np.testing.assert_array_equal(got.tokens[0], [free.tokens[0, 0], -1, -1, -1, -1])
    np.testing.assert_array_equal(got.tokens[1], free.tokens[0])


def test_what_cannot_be_run_is_refused(together, prompts, refuses):
    with refuses("max_new_tokens: 5 after a prompt of 61 tokens exceeds the context of 64"):
        together([[8] * 61])
    with refuses("recomputed: an edit of prompt 0 starts at position 0, before its last token"):
        together(prompts[:1], first=0, recomputed=True)
