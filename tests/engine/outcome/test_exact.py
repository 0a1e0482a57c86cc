"""Exact answer probabilities equal teacher-forced whole passes; bits; compilations; agreement with sampling."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom

from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.edits import EMPTY, FOREVER, EditSpec
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.sites import EDITABLE
from causeway.engine.model.config import Numerics
from causeway.engine.model.forward import next_token_logits, run
from causeway.engine.model.generate import generate_rows
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout
from causeway.engine.model.unrolled import unrolled
from causeway.engine.outcome.answers import Answer, answer_tree, score_answers
from causeway.engine.outcome.exact import Background, clean_tree, edited_answers, start_layer

LISTS = ([1], [2, 3, 4], [2, 3, 5], [2, 6])
ANSWERS = (Answer("a", "stop"), Answer("b", "bet", 10), Answer("c", "bet", 20), Answer("d", "bet", 15))
LAST, ROWS = 8, 5
program = jax.jit(edited_answers)


@pytest.fixture(scope="module")
def tree(tiny):
    return answer_tree(tiny.PROMPT[-1], ANSWERS, LISTS)


@pytest.fixture(scope="module")
def clean(tiny, transformer, tree):
    return clean_tree(transformer, tiny.PROMPT, tree)


def edited(tiny, layer, start=LAST, stop=FOREVER):
    """Five rows: set, zero, own value and add to features of one layer, and one empty row."""
    edit = tiny.make_edit(
        ROWS, layer=layer, feature=np.arange(ROWS)[:, None] * 3, start=start, stop=stop,
        scale=np.array([0, 0, 1, 1, 0])[:, None], shift=np.array([4, 0, 0, 2, 0])[:, None],
    )  # fmt: skip
    edit.layer[-1] = EMPTY
    return edit


def exact(transformer, dictionary, clean, edit, spec=EditSpec()):  # noqa: B008
    edit = dataclasses.replace(edit, spec=spec)
    start = jnp.int32(start_layer((edit,), clean))
    edges, (report,) = program(Background(transformer, dictionary, clean), ((edit,), start))
    return edges, report


def answers_of(tree, edges):
    return score_answers(tree, np.asarray(edges)).log_probability


def plain_answers(plain, transformer, prompt, edit, stream, dictionary):
    """[rows, answers]: every answer appended to the prompt and run through the numpy decoder."""
    expected = np.zeros((ROWS, len(LISTS)))
    for row in range(ROWS):
        hook = plain.delta_edit(edit, row, stream, dictionary)
        for i, ids in enumerate(LISTS):
            logits = plain.logits(transformer, [*prompt, *ids], hook)
            for step, token in enumerate(ids):
                expected[row, i] += np.log(plain.softmax(logits[LAST + step])[token])
    return expected


def forced_answers(transformer, prompt, edit, spec, dictionary):
    """The same by `run`: every answer of every row is one sequence."""
    expected = []
    bound = bind(dataclasses.replace(edit, spec=spec), dictionary)
    for ids in LISTS:
        tokens = np.tile([*prompt, *ids, *[0] * (3 - len(ids))], (ROWS, 1))
        p = np.asarray(jax.nn.log_softmax(run(transformer, tokens, Instruments((bound,))).logits), np.float64)
        expected.append(sum(p[:, LAST + step, token] for step, token in enumerate(ids)))
    return np.stack(expected, axis=1)


def test_a_clean_tree_equals_teacher_forced_passes(tiny, transformer, tree, clean):
    tokens = np.array([[*tiny.PROMPT, *ids, *[0] * (3 - len(ids))] for ids in LISTS])
    p = np.asarray(jax.nn.log_softmax(next_token_logits(transformer, tokens)))
    expected = [sum(p[i, LAST + step, token] for step, token in enumerate(ids)) for i, ids in enumerate(LISTS)]
    np.testing.assert_allclose(answers_of(tree, clean.edges[None])[0], expected, atol=2e-5)


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(s, marks=() if s in ("resid_post", "mlp_out") else pytest.mark.slow)
        for s in EDITABLE
        if not s.endswith("_raw")
    ],
)
def test_edited_answers_equal_the_plain_decoder_on_every_stream(tiny, plain, transformer, tree, clean, stream):
    dictionary, spec = tiny.make_dictionary(stream=stream), EditSpec(stream)
    for layer in (0, 2):
        edit = edited(tiny, layer)
        edges, report = exact(transformer, dictionary, clean, edit, spec)
        expected = plain_answers(plain, transformer, tiny.PROMPT, edit, stream, dictionary)
        np.testing.assert_allclose(answers_of(tree, edges), expected, atol=3e-5)
        assert np.abs(expected[0] - expected[-1]).max() > 1e-3
        assert np.asarray(report.applied)[:-1, : len(tree.tokens)].all()
        assert not np.asarray(report.applied)[-1].any()


@pytest.mark.parametrize(
    ("start", "stop"),
    [(LAST, FOREVER), (LAST, LAST + 1), (LAST + 1, FOREVER), (0, FOREVER), (2, 4), (LAST + 2, LAST + 3)],
)
def test_edited_answers_equal_teacher_forced_passes_in_every_scope(tiny, transformer, dictionary, tree, start, stop):
    clean = clean_tree(transformer, tiny.PROMPT, tree, first_edit=start)
    for layer in (0, 2):
        edit = edited(tiny, layer, start, stop)
        edges, _ = exact(transformer, dictionary, clean, edit)
        expected = forced_answers(transformer, tiny.PROMPT, edit, EditSpec(), dictionary)
        np.testing.assert_allclose(answers_of(tree, edges), expected, atol=3e-5)


def test_a_replacing_edit_equals_teacher_forced_passes(tiny, transformer, dictionary, tree, clean):
    edit, spec = edited(tiny, 2), EditSpec(family="replace")
    edges, _ = exact(transformer, dictionary, clean, edit, spec)
    expected = forced_answers(transformer, tiny.PROMPT, edit, spec, dictionary)
    np.testing.assert_allclose(answers_of(tree, edges), expected, atol=3e-5)


def test_an_edit_at_its_own_value_is_no_edit_to_the_bit(tiny, transformer, dictionary, clean):
    for layer in (0, 2):
        edges, report = exact(transformer, dictionary, clean, edited(tiny, layer))
        own, empty = (np.asarray(edges)[row] for row in (2, 4))
        assert own.tobytes() == empty.tobytes()
        np.testing.assert_array_equal(report.before[2], report.after[2])


def test_neighbours_and_order_do_not_change_a_bit(tiny, transformer, dictionary, clean):
    edit = edited(tiny, 0)
    edges = np.asarray(exact(transformer, dictionary, clean, edit)[0])
    order = [4, 2, 0, 1, 3]
    moved = np.asarray(exact(transformer, dictionary, clean, tiny.take_rows(edit, order))[0])
    assert moved.tobytes() == edges[order].tobytes()
    wild = dataclasses.replace(edit, shift=np.where(np.arange(ROWS)[:, None] == 1, np.float32(np.nan), edit.shift))
    got = np.asarray(exact(transformer, dictionary, clean, wild)[0])
    assert np.isnan(got[1]).all()
    assert got[[0, 2, 3, 4]].tobytes() == edges[[0, 2, 3, 4]].tobytes()


def test_an_answer_has_its_probability_whatever_the_others_are(tiny, transformer, dictionary, tree, clean):
    small = answer_tree(tiny.PROMPT[-1], ANSWERS[2:3], LISTS[2:3])
    edit = edited(tiny, 0)
    alone, _ = exact(transformer, dictionary, clean_tree(transformer, tiny.PROMPT, small), edit)
    together, _ = exact(transformer, dictionary, clean, edit)
    np.testing.assert_allclose(answers_of(small, alone)[:, 0], answers_of(tree, together)[:, 2], atol=1e-5)


def test_probabilities_of_all_tokens_sum_to_one_and_of_some_to_less(tiny, transformer, dictionary, tree, clean):
    every = [Answer(str(i), "any") for i in range(tiny.CONFIG.vocab_size)]
    whole = answer_tree(tiny.PROMPT[-1], every, [[i] for i in range(tiny.CONFIG.vocab_size)])
    edges = clean_tree(transformer, tiny.PROMPT, whole).edges[None]
    np.testing.assert_allclose(score_answers(whole, edges).probability, 1, atol=1e-5)
    scores = score_answers(tree, exact(transformer, dictionary, clean, edited(tiny, 2))[0])
    assert (scores.probability.sum(axis=1) < 1).all()
    assert (scores.invalid > 0).all()


def test_one_program_serves_all_layers_features_and_prompts(tiny, transformer, dictionary, tree, clean, compilations):
    exact(transformer, dictionary, clean, edited(tiny, 0))
    with compilations() as compiled:
        for layer, prompt in ((2, tiny.PROMPT), (0, tiny.PROMPT[1:]), (2, tiny.PROMPT[::-1][2:])):
            other = clean_tree(transformer, prompt, answer_tree(prompt[-1], ANSWERS, LISTS))
            exact(transformer, dictionary, other, edited(tiny, layer, start=len(prompt) - 1))
    assert compiled == []


def test_a_16_bit_model_is_scored(tiny, transformer, tree, clean):
    half = tiny.make_transformer(Numerics("bfloat16", "bfloat16", "float32"))
    dictionary, spec = tiny.make_dictionary(stream="mlp_out"), EditSpec("mlp_out")
    edges, _ = exact(half, dictionary, clean_tree(half, tiny.PROMPT, tree), edited(tiny, 0), spec)
    full, _ = exact(transformer, dictionary, clean, edited(tiny, 0), spec)
    assert edges.dtype == jnp.float32
    np.testing.assert_allclose(edges, full, atol=0.2)


@pytest.mark.slow
def test_sampled_frequencies_agree_with_the_exact_probabilities(tiny, transformer, dictionary, tree):
    """4096 trials at temperature 1: each answer's count lies in the central 99.9 % of its binomial."""
    count, edit = 4096, tiny.make_edit(1, layer=0, feature=3, start=LAST, shift=4)
    first = np.arange(8, 20)
    wide = answer_tree(
        tiny.PROMPT[-1], [Answer(str(i), "one") for i in range(15)], [*([i] for i in first), [2, 3], [2, 6], [2, 9]]
    )
    clean = clean_tree(transformer, tiny.PROMPT, wide)
    p = np.exp(answers_of(wide, exact(transformer, dictionary, clean, edit)[0])[0])
    got = generate_rows(
        transformer, tiny.PROMPT, trials=np.arange(count), layout=Layout(1024, (2,)), sampling=Sampling(1.0), seed=0,
        prompt_id=0, edits=(tiny.take_rows(edit, [0] * count),), dictionary=dictionary,
    ).tokens  # fmt: skip
    counts = [(got[:, 0] == i).sum() for i in first]
    counts += [((got[:, 0] == 2) & (got[:, 1] == second)).sum() for second in (3, 6, 9)]
    low, high = binom.interval(0.999, count, p)
    assert ((low <= counts) & (counts <= high)).all()
    assert sum(counts) > 500


def test_rows_of_several_layers_and_answers_beyond_the_context_are_refused(tiny, transformer, tree, refuses):
    clean = clean_tree(transformer, tiny.PROMPT, tree)
    with refuses(r"edit.layer: rows of layers \[0, 2\]"):
        start_layer((tiny.make_edit(2, layer=np.array([[0], [2]])),), clean)
    with refuses(r"edit.layer: rows of layers \[\]"):
        start_layer((tiny.make_edit(2, layer=EMPTY),), clean)
    with refuses("edit.start: 1 lies in the"):
        start_layer((tiny.make_edit(2, layer=0, start=1, stop=2),), clean)
    with refuses("65 tokens with the prompt, but the context is 64"):
        clean_tree(transformer, [1] * 63, tree)


def test_the_longest_prompt_that_fits_is_scored(transformer, tree):
    assert np.isfinite(clean_tree(transformer, [1] * 62, tree).edges).all()


@pytest.mark.parametrize("layer", range(3))
def test_single_blocks_give_what_the_stack_gives_by_one_program(tiny, transformer, clean, layer):
    edit = tiny.make_edit(ROWS, spec=EditSpec("resid_pre"), layer=layer, feature=3, start=LAST, shift=2.0)
    own = ((edit,), jnp.int32(start_layer((edit,), clean)))
    dictionary = tiny.make_dictionary(layers=(0, 1, 2), stream="resid_pre")
    stacked = program(Background(transformer, dictionary, clean), own)
    before = program._cache_size()
    single = program(Background(unrolled(transformer), dictionary, clean), own)
    assert program._cache_size() - before == (layer == 0)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), single, stacked)
