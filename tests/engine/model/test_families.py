"""What each family does otherwise than LLaMA: against plain numpy, through a cache, and for exact answers.

All families meet plain numpy. Gemma 2, which differs in most, goes through a cache and answers exactly always, the
others in slow tests.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.sites import STREAMS, once
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.config import Numerics
from causeway.engine.model.forward import next_token_logits, run
from causeway.engine.model.generate import generate_rows
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout
from causeway.engine.outcome.answers import Answer, answer_tree, score_answers
from causeway.engine.outcome.exact import Background, clean_tree, edited_answers, start_layer

FAMILIES = ("qwen3", "gpt2", "gpt_neox", "qwen2", "olmo2", "bare", "gemma3", "gemma2")
LAST, ROWS = 8, 3
program = jax.jit(edited_answers)


@pytest.fixture(params=[*(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES[:-1]), FAMILIES[-1]])
def family(request, tiny):
    return tiny.make_transformer(**tiny.FAMILIES[request.param])


@pytest.mark.parametrize("name", FAMILIES)
def test_every_stream_equals_plain_numpy(tiny, plain, name):
    with jax.enable_x64(True):
        transformer = tiny.make_transformer(tiny.DOUBLE, **tiny.FAMILIES[name])
        count = transformer.config.num_layers
        streams = [s for s in STREAMS if s not in transformer.config.unformed_streams]
        single = {s: once(s, count) for s in streams}
        layers = {s: (0, 1, 2) if layer is None else (layer,) for s, layer in single.items()}
        taps = tuple(bind_tap(TapSpec(s, "raw", layers[s]), None) for s in streams)
        out = run(transformer, tiny.PROMPT[None], Instruments((), taps))
    seen = {}

    def keep(stream, layer, value):
        return seen.setdefault((stream, layer), value)

    np.testing.assert_allclose(out.logits[0], plain.logits(transformer, tiny.PROMPT, keep), atol=1e-9)
    for stream, record in zip(streams, out.records, strict=True):
        for place, layer in enumerate(layers[stream]):
            np.testing.assert_allclose(record.values[place, 0], seen[stream, layer], atol=1e-9, err_msg=stream)


def edit_of(tiny, start):
    """One row for each of three kinds of edit at layer 1."""
    scale, shift = np.array([0, -1, 1])[:, None], np.array([4, 0, 2])[:, None]
    return tiny.make_edit(ROWS, layer=1, feature=np.arange(ROWS)[:, None], start=start, scale=scale, shift=shift)


@pytest.mark.slow
@pytest.mark.parametrize("start", [3, LAST])
def test_a_cache_equals_whole_passes(tiny, family, start):
    """Forced tokens in two segments, behind a prefix and, for the earlier edit, row-specific prompt tokens."""
    dictionary, edit = tiny.make_dictionary(layers=(1,)), edit_of(tiny, start)
    taps = (bind_tap(TapSpec("logits", "raw", (3,)), None),)
    forced = np.random.default_rng(0).integers(0, 40, (ROWS, 7)).astype(np.int32)
    got = generate_rows(
        family, tiny.PROMPT, trials=np.arange(ROWS), layout=Layout(4, (3, 4)), sampling=Sampling(1.0), seed=0,
        prompt_id=0, edits=(edit,), dictionary=dictionary, taps=taps, forced=forced,
    )  # fmt: skip
    tokens = np.concatenate([np.tile(tiny.PROMPT, (ROWS, 1)), forced], axis=1)[:, :-1]
    whole = run(family, tokens, Instruments((bind(edit, dictionary),), taps))
    values = np.asarray(got.records[0].values)[:, :, 0]
    np.testing.assert_allclose(values, np.asarray(whole.records[0].values)[0, :, LAST:], atol=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize("start", [3, LAST])
def test_exact_answers_equal_teacher_forced_passes(tiny, family, start):
    lists = ([1], [2, 3, 4], [2, 3, 5], [2, 6])
    tree = answer_tree(tiny.PROMPT[-1], [Answer(str(i), "stop") for i in range(4)], lists)
    dictionary, edit = tiny.make_dictionary(layers=(1,)), edit_of(tiny, start)
    clean = clean_tree(family, tiny.PROMPT, tree, start)
    first = jnp.int32(start_layer((edit,), clean))
    edges, _ = program(Background(family, dictionary, clean), ((edit,), first))
    got = score_answers(tree, np.asarray(edges)).log_probability
    bound = bind(edit, dictionary)
    for i, ids in enumerate(lists):
        tokens = np.tile([*tiny.PROMPT, *ids], (ROWS, 1))
        p = np.asarray(jax.nn.log_softmax(run(family, tokens, Instruments((bound,))).logits), np.float64)
        expected = sum(p[:, LAST + step, token] for step, token in enumerate(ids))
        np.testing.assert_allclose(got[:, i], expected, atol=5e-5)


def test_a_window_hides_what_lies_before_it(tiny):
    """With a window of w in each of L layers, a token further back than L (w - 1) cannot matter; one inside does."""
    transformer = tiny.make_transformer(windows=(3, 3, 3))
    tokens = np.tile(tiny.PROMPT, (3, 1))
    tokens[1, 1], tokens[2, 2] = 5, 5
    logits = next_token_logits(transformer, tokens)[:, -1]
    np.testing.assert_array_equal(logits[1], logits[0])
    assert np.abs(logits[2] - logits[0]).max() > 1e-4


def test_streams_a_family_lacks_are_refused(tiny, refuses):
    transformer = tiny.make_transformer(**tiny.FAMILIES["gpt_neox"])
    taps = (bind_tap(TapSpec("resid_mid", "raw", (0,)), None),)
    with refuses("has no resid_mid"):
        run(transformer, tiny.PROMPT[None], Instruments((), taps))


def test_float16_stores_and_computes_in_16_bits(tiny):
    half = tiny.make_transformer(Numerics("float16", "float16", "float32"))
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(half)} == {"float16"}
    logits = next_token_logits(half, tiny.PROMPT[None])
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, next_token_logits(tiny.make_transformer(), tiny.PROMPT[None]), atol=0.05)
