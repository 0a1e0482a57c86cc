"""`cw.run` and `cw.generate`: what a person writes is what the engine's passes do, prompt by prompt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import causeway as cw
from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.edits import EditSpec
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.model import forward

PROMPTS = [[7, 31, 2, 19], [5, 5, 11, 8, 20, 3], [38]]
SET = cw.FeatureEdit(2, 7, 6.0, scope="last_prompt")


@pytest.fixture(scope="module")
def model(transformer):
    return cw.Model(transformer, None, "tiny", "of the tests")


def test_logits_are_those_of_the_plain_decoder(model, plain):
    out = cw.run(model, PROMPTS)
    assert out.tokens == tuple(map(tuple, PROMPTS))
    for ids, logits in zip(PROMPTS, out.logits, strict=True):
        np.testing.assert_allclose(logits, plain.logits(model.transformer, ids), atol=2e-5)
    assert out.edits_applied.tolist() == [0, 0, 0]


def test_a_prompts_bits_do_not_depend_on_the_others(model, dictionary):
    together = cw.run(model, PROMPTS, edits=[SET], taps=[cw.Tap()], dictionary=dictionary)
    for i, ids in enumerate(PROMPTS):
        alone = cw.run(model, ids, edits=[SET], taps=[cw.Tap()], dictionary=dictionary)
        assert alone.logits[0].tobytes() == together.logits[i].tobytes()
        assert alone.records[0][0].values.tobytes() == together.records[0][i].values.tobytes()


@pytest.mark.parametrize("mode", ["delta", "replace"])
def test_edits_are_those_of_a_pass_with_the_same_arrays(model, dictionary, tiny, mode):
    (logits,) = cw.run(model, PROMPTS[0], edits=[SET], dictionary=dictionary, mode=mode).logits
    spec = EditSpec(family="replace" if mode == "replace" else "feature")
    edit = jax.tree.map(jnp.asarray, tiny.make_edit(1, layer=2, feature=7, shift=6.0, start=3, stop=4))
    expected = forward.run(
        model.transformer, np.array([PROMPTS[0]]), Instruments((bind(spec, edit, dictionary),))
    ).logits
    np.testing.assert_allclose(logits, expected[0], atol=1e-5)
    assert np.abs(logits - cw.run(model, PROMPTS[0]).logits[0]).max() > 1e-2


def test_one_row_of_edits_serves_all_prompts_or_each_has_its_own(model, dictionary):
    common = cw.run(model, PROMPTS, edits=[SET], dictionary=dictionary)
    assert common.edits_applied.tolist() == [1, 1, 1]
    own = cw.run(model, PROMPTS, edits=[[], [SET], []], dictionary=dictionary)
    assert own.edits_applied.tolist() == [0, 1, 0]
    assert own.logits[1].tobytes() == common.logits[1].tobytes()
    assert own.logits[0].tobytes() == cw.run(model, PROMPTS[0]).logits[0].tobytes()


def test_records_have_the_length_of_their_prompt(model, dictionary):
    taps = [cw.Tap("attn_pattern", layers=(1,)), cw.Tap(reader="top_k", width=3), cw.Tap("logits", "top_k", width=2)]
    out = cw.run(model, PROMPTS, taps=taps, dictionary=dictionary)
    for i, ids in enumerate(PROMPTS):
        length, (pattern, features, logits) = len(ids), (record[i] for record in out.records)
        assert pattern.values.shape == (1, 4, length, length)
        np.testing.assert_allclose(pattern.values.sum(-1), 1, rtol=1e-5)
        assert features.values.shape == features.ids.shape == (2, length, 3)
        assert logits.ids[0, -1, 0] == out.logits[i][-1].argmax()
        assert features.valid.all()
        assert len(features.valid) == length


def test_a_rollouts_rows_share_their_noise(model, dictionary):
    own, strong = cw.FeatureEdit(2, 7, operation="own"), cw.FeatureEdit(2, 7, 60.0)
    (result,) = cw.generate(
        model,
        PROMPTS[0],
        edits=[[], [own], [strong]],
        dictionary=dictionary,
        max_new_tokens=3,
        temperature=1.0,
        trials=4,
    )
    tokens = result.generation.tokens.reshape(3, 4, 3)
    np.testing.assert_array_equal(tokens[0], tokens[1])
    assert (tokens[0] != tokens[2]).any()
    assert len({row.tobytes() for row in tokens[0]}) > 1
    assert [len(texts) for texts in result.texts] == [4, 4, 4]
    assert result.texts[0][0] == " ".join(map(str, tokens[0, 0]))


def test_prompts_are_continued_each_with_every_row(model):
    results = cw.generate(model, PROMPTS[:2], max_new_tokens=3, temperature=0, trials=1, seed=3)
    for ids, result in zip(PROMPTS, results, strict=False):
        tokens = list(ids)
        for chosen in result.generation.tokens[0]:
            assert chosen == cw.run(model, tokens).logits[0][-1].argmax()
            tokens.append(int(chosen))


def test_what_cannot_be_run_is_refused(model, dictionary, refuses):
    with refuses("prompts: got none"):
        cw.run(model, [])
    with refuses("prompts: got none"):
        cw.generate(model, [])
    with refuses("prompt: got .* no tokens"):
        cw.run(model, [[]])
    with refuses("prompt: token id 40 is outside the vocabulary"):
        cw.run(model, [40])
    with refuses("prompt: got text, but tiny has no tokenizer"):
        cw.run(model, "hello")
    with refuses("prompt: 65 tokens, but the context of tiny is 64"):
        cw.run(model, [1] * 65)
    with refuses("edits: got 2 rows for 3 prompts"):
        cw.run(model, PROMPTS, edits=[[SET], []], dictionary=dictionary)
    with refuses("dictionary: missing"):
        cw.run(model, PROMPTS, edits=[SET])
    with refuses("outside the dictionary's 0..23"):
        cw.run(model, PROMPTS, edits=[cw.FeatureEdit(2, 24, 1.0)], dictionary=dictionary)
    with refuses("semantics: got 'clean'"):
        cw.generate(model, PROMPTS, semantics="clean")
    with refuses("trials: got 0; needs a whole number from 1"):
        cw.generate(model, PROMPTS, trials=0)
    for seed in (2**32, -1, 1.5, "1", None):
        with refuses("seed: got .*; needs a whole number from 0 to 4294967295"):
            cw.generate(model, PROMPTS, seed=seed)
    with refuses("temperature: got nan"):
        cw.generate(model, PROMPTS, temperature=float("nan"))
    with refuses("prompts: got b'abc'"):
        cw.run(model, b"abc")
    with refuses("max_new_tokens"):
        cw.generate(model, PROMPTS, max_new_tokens=100)
