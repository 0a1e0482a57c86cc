"""The screening pass against plain numpy, and what must not change its table."""

import dataclasses

import numpy as np
import pytest

from causeway.engine.analyses.screen.activations import group_sums
from causeway.engine.analyses.screen.table import screen_table
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.tokenized_prompt import TokenizedPrompt

GROUPS = ("safe", "risky")
ROWS, BOS = 8, 39


def labelled(tokens, group, stratum=""):
    return TokenizedPrompt(PromptRecord("", group=group, fields={"stratum": stratum}), tuple(tokens))


@pytest.fixture(scope="module")
def prompts():
    """Twenty-one prompts of 3 to 8 tokens, two in three of which begin with the token that begins a text."""
    rng = np.random.default_rng(0)
    return [
        labelled([*([BOS] if i % 3 else [0]), *rng.integers(BOS, size=2 + i % 6).tolist()], GROUPS[i % 2])
        for i in range(21)
    ]


def _streams(plain, transformer, tokens):
    """resid_post [L, T, D] of one prompt in plain numpy."""
    seen = {}

    def hook(stream, layer, value):
        seen[stream, layer] = value
        return value

    plain.logits(transformer, tokens, hook)
    return np.stack([seen["resid_post", layer] for layer in range(transformer.config.num_layers)])


def _jumprelu(dictionary, index, x):
    weights, bias, threshold = (
        np.asarray(a[...][index], np.float64) for a in (dictionary.W_enc, dictionary.b_enc, dictionary.threshold)
    )
    p = x @ weights + bias
    return np.where(p > threshold, p, 0)


@pytest.fixture(scope="module")
def features(plain, transformer, dictionary, prompts):
    """Each prompt's values [T, F] at layers 0 and 2."""
    values = []
    for prompt in prompts:
        streams = _streams(plain, transformer, prompt.tokens)
        values.append([_jumprelu(dictionary, index, streams[layer]) for index, layer in enumerate((0, 2))])
    return values


READ = {
    "last": lambda v, first: v[-1],
    "mean": lambda v, first: v[first:].mean(axis=0),
    "max": lambda v, first: v[first:].max(axis=0),
}


@pytest.mark.parametrize("position", READ)
def test_streaming_equals_direct_computation(transformer, dictionary, prompts, features, position):
    sums = group_sums(transformer, dictionary, prompts, GROUPS, bos=BOS, position=position, rows=ROWS)
    labels = np.array([p.record.group for p in prompts])
    firsts = [int(p.tokens[0] == BOS) for p in prompts]
    assert sums.layers == (0, 2)
    for index, layer in enumerate(sums.layers):
        values = np.stack([READ[position](v[index], first) for v, first in zip(features, firsts, strict=True)])
        for group in GROUPS:
            moments, own = sums.moments(layer, group), values[labels == group]
            assert moments.count == len(own)
            np.testing.assert_allclose(moments.mean, own.mean(axis=0), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(moments.variance, own.var(axis=0, ddof=1), rtol=1e-3, atol=1e-5)
            np.testing.assert_allclose(moments.active_fraction, (own > 0).mean(axis=0), atol=1e-12)


def test_prompts_of_other_buckets_join_the_same_sums(plain, transformer, dictionary, prompts, compilations):
    longer = [dataclasses.replace(p, tokens=p.tokens[:3] * 4) for p in prompts]
    with compilations() as compiled:
        sums = group_sums(transformer, dictionary, [*prompts, *longer], GROUPS, rows=5)
    # The streams once a bucket; the encoding of a last token does not depend on the bucket.
    assert len([name for name in compiled if "on_one_device" in name]) == 3
    values = [
        _jumprelu(dictionary, 1, _streams(plain, transformer, p.tokens)[2, -1])
        for p in (*prompts, *longer)
        if p.record.group == "risky"
    ]
    np.testing.assert_allclose(sums.moments(2, "risky").mean, np.mean(values, axis=0), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def marker(tiny, plain, transformer):
    """Dictionaries whose feature 0 of layer 0 fires on what token 30 has and token 31 lacks."""
    with_it, without = (
        np.mean([_streams(plain, transformer, (a, b, token))[0, -1] for a in range(4) for b in range(4)], axis=0)
        for token in (30, 31)
    )
    changed = tiny.make_dictionary(layers=(0, 2))
    direction = with_it - without
    changed.W_enc[...] = changed.W_enc[...].at[0, :, 0].set(direction)
    changed.b_enc[...] = changed.b_enc[...].at[0, 0].set(-float(direction @ (with_it + without)) / 2)
    return changed


def _ending(marks, seed):
    """Sixty prompts, safe and risky in turn, that end with token 30 where marked and with 31 elsewhere."""
    rng = np.random.default_rng(seed)
    return [
        labelled((*rng.integers(4, size=3).tolist(), 30 if mark else 31), GROUPS[i % 2], f"mark {mark}")
        for i, mark in enumerate(marks)
    ]


def _first_row(transformer, marker, prompts, groups=GROUPS, strata=()):
    sums = group_sums(transformer, marker, prompts, groups, strata=strata, rows=ROWS)
    return screen_table(sums).slice(0, 1).to_pylist()[0]


def test_a_planted_difference_is_found_with_its_sign(transformer, marker):
    prompts = _ending([i % 2 == 1 for i in range(60)], seed=2)
    row = _first_row(transformer, marker, prompts)
    assert row["d"] > 0.8
    assert row["q"] < 0.05
    assert row["mean_risky"] > row["mean_safe"]
    assert _first_row(transformer, marker, prompts, GROUPS[::-1])["d"] == pytest.approx(-row["d"])


def test_strata_remove_a_planted_confound(transformer, marker):
    # Marked in most risky prompts and few safe ones, but not because of the group.
    marks = [i % 8 != 1 if i % 2 else i % 8 == 0 for i in range(60)]
    row = _first_row(transformer, marker, _ending(marks, seed=3), strata=["stratum"])
    assert row["d"] > 0.4
    assert row["p"] < 0.05 < row["p_stratified"]
    assert abs(row["d_stratified"]) < row["d"] / 2


def test_bad_input_is_refused_before_compiling(transformer, dictionary, tiny, prompts, refuses, compilations):
    with compilations() as compiled:
        with refuses("'risky' has 0 prompts.*safe \\(2\\)"):
            group_sums(transformer, dictionary, prompts[:4:2], GROUPS)
        with refuses("label 'wild' is not among the groups"):
            group_sums(transformer, dictionary, [labelled((1,), "wild")], GROUPS)
        with refuses("prompt 5: 0 tokens"):
            group_sums(transformer, dictionary, [*prompts[:4], labelled((), "safe")], GROUPS)
        with refuses("prompt 5: 65 tokens, but the context is 64"):
            group_sums(transformer, dictionary, [*prompts[:4], labelled((1,) * 65, "safe")], GROUPS)
        with refuses("needs one of last, mean, max"):
            group_sums(transformer, dictionary, prompts, GROUPS, position="all")
        with refuses("belongs to layer 7, but this model has layers 0..2"):
            group_sums(transformer, tiny.make_dictionary(layers=(0, 7)), prompts, GROUPS)
        with refuses("d_in is 16, but mlp_act of this model has width 24"):
            group_sums(transformer, tiny.make_dictionary(stream="mlp_act"), prompts, GROUPS)
    assert compiled == []
