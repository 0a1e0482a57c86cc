"""The screening pass against direct computation, and what must not change its table."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.devices import local_parallel
from causeway.engine.dictionary.dictionary import take
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.forward import run
from causeway.engine.screen.activations import LabelledTokens, group_sums
from causeway.engine.screen.table import screen_table

GROUPS = ("safe", "risky")


@pytest.fixture(scope="module")
def prompts():
    """Twenty-one prompts of 3 to 12 tokens, in two buckets and three strata."""
    rng = np.random.default_rng(0)
    return [
        LabelledTokens(tuple(rng.integers(40, size=3 + i % 10).tolist()), GROUPS[i % 2], f"s{i % 3}", first=1)
        for i in range(21)
    ]


def _direct(transformer, dictionary, prompt, position):
    """[P, F] by one unpadded pass of one prompt."""
    config = dictionary.config
    tap = bind_tap(TapSpec(config.stream, "raw", config.layers), None)
    streams = run(transformer, jnp.array([prompt.tokens]), Instruments(taps=(tap,))).records[0].values[:, 0]
    values = np.stack([take(dictionary, p).encode(streams[p]) for p in range(len(config.layers))])
    if position == "last":
        return values[:, -1]
    counted = values[:, prompt.first :]
    return counted.mean(axis=1) if position == "mean" else counted.max(axis=1)


def _assert_close(a, b, rtol, atol=0.0):
    assert a.column_names == b.column_names
    for name in a.column_names:
        x, y = (t[name].to_numpy().astype(np.float64) for t in (a, b))
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize("position", ["last", "mean", "max"])
def test_streaming_equals_direct_computation(transformer, dictionary, prompts, position):
    sums = group_sums(transformer, dictionary, prompts, GROUPS, position=position, rows=8)
    values = np.stack([_direct(transformer, dictionary, p, position) for p in prompts]).astype(np.float64)
    labels = np.array([p.group for p in prompts])
    assert sums.layers == (0, 2)
    for place, layer in enumerate(sums.layers):
        for group in GROUPS:
            moments, own = sums.moments(layer, group), values[labels == group, place]
            assert moments.count == len(own)
            np.testing.assert_allclose(moments.mean, own.mean(axis=0), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(moments.variance, own.var(axis=0, ddof=1), rtol=1e-3, atol=1e-5)
            np.testing.assert_allclose(moments.active_fraction, (own > 0).mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("kind", ["gated", "topk"])
def test_every_activation_kind_is_read(tiny, transformer, prompts, kind):
    dictionary = tiny.make_dictionary(kind)
    sums = group_sums(transformer, dictionary, prompts[:4], GROUPS, rows=4)
    values = np.stack([_direct(transformer, dictionary, p, "last")[1] for p in prompts[:4:2]])
    np.testing.assert_allclose(sums.moments(2, "safe").mean, values.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_order_changes_rounding_alone(transformer, dictionary, prompts):
    table = screen_table(group_sums(transformer, dictionary, prompts, GROUPS, rows=8))
    shuffled = [prompts[i] for i in np.random.default_rng(1).permutation(len(prompts))]
    _assert_close(table, screen_table(group_sums(transformer, dictionary, shuffled, GROUPS, rows=8)), 1e-9, 1e-12)


def test_rows_of_a_pass_change_rounding_alone(tiny, prompts):
    with jax.enable_x64(True):
        transformer = tiny.make_transformer(tiny.DOUBLE)
        dictionary = tiny.make_dictionary(dtype="float64")
        few, many = (screen_table(group_sums(transformer, dictionary, prompts, GROUPS, rows=rows)) for rows in (3, 16))
    _assert_close(few, many, 1e-9, 1e-12)


def test_devices_change_nothing(transformer, dictionary, prompts):
    one = screen_table(group_sums(transformer, dictionary, prompts, GROUPS, rows=4))
    four = group_sums(transformer, dictionary, prompts, GROUPS, rows=4, parallel=local_parallel(4))
    _assert_close(one, screen_table(four), 1e-12)


def test_two_programs_a_bucket(transformer, dictionary, prompts, compilations):
    longer = [dataclasses.replace(p, tokens=p.tokens * 2) for p in prompts if len(p.tokens) > 8]
    with compilations() as compiled:
        group_sums(transformer, dictionary, longer * 3, GROUPS, rows=5)
    assert sorted(name for name in compiled if "one_device" in name) == ["on_one_device"] * 2 * 1


def _planted(prompts, chosen, first=30, second=31):
    """Last tokens 30 in the rows of `chosen`, 31 elsewhere: streams that differ at the last token."""
    return [
        dataclasses.replace(p, tokens=(*p.tokens[:-1], first if pick else second))
        for p, pick in zip(prompts, chosen, strict=True)
    ]


@pytest.fixture(scope="module")
def marker(tiny, transformer, dictionary):
    """A dictionary whose feature 0 at layer 0 fires along what token 30 has more of than token 31."""
    tokens = np.array([[1, 2, 3, 30], [1, 2, 3, 31]])
    tap = bind_tap(TapSpec("resid_post", "raw", (0,)), None)
    streams = run(transformer, jnp.asarray(tokens), Instruments(taps=(tap,))).records[0].values[0, :, -1]
    direction = np.asarray(streams[0] - streams[1])
    middle = float(direction @ np.asarray(streams).mean(axis=0))
    changed = tiny.make_dictionary("relu", layers=(0,))
    changed.W_enc[...] = changed.W_enc[...].at[0, :, 0].set(direction)
    changed.b_enc[...] = changed.b_enc[...].at[0, 0].set(-middle)
    return changed


def test_a_planted_difference_is_found_with_its_sign(transformer, marker, prompts):
    planted = _planted(prompts, [p.group == "risky" for p in prompts])
    row = screen_table(group_sums(transformer, marker, planted, GROUPS, rows=8)).slice(0, 1).to_pylist()[0]
    assert row["d"] > 1
    assert row["q"] < 0.01
    assert row["mean_risky"] > row["mean_safe"]
    swapped = screen_table(group_sums(transformer, marker, planted, GROUPS[::-1], rows=8)).slice(0, 1).to_pylist()[0]
    assert swapped["d"] == pytest.approx(-row["d"])


def test_strata_remove_a_planted_confound(transformer, marker):
    rng = np.random.default_rng(3)
    high = [i % 4 != 0 if i % 2 else i % 6 == 0 for i in range(60)]  # mostly in risky, but not because of risky
    prompts = [
        LabelledTokens(tuple(rng.integers(30, size=6).tolist()), GROUPS[i % 2], "high" if high[i] else "low")
        for i in range(60)
    ]
    table = screen_table(group_sums(transformer, marker, _planted(prompts, high), GROUPS, rows=8))
    row = table.slice(0, 1).to_pylist()[0]
    assert abs(row["d"]) > 0.5
    assert abs(row["d_stratified"]) < 0.3 < abs(row["d"])
    assert row["p_stratified"] > 0.05 > row["p"]


def test_bad_input_is_refused_before_compiling(transformer, dictionary, tiny, prompts, refuses, compilations):
    with compilations() as compiled:
        with refuses("'risky' has 0 prompts.*safe \\(2\\)"):
            group_sums(transformer, dictionary, prompts[:4:2], GROUPS)
        with refuses("label 'wild' is not among the groups"):
            group_sums(transformer, dictionary, [dataclasses.replace(prompts[0], group="wild")], GROUPS)
        with refuses("prompt 5: 0 tokens"):
            group_sums(transformer, dictionary, [*prompts[:4], LabelledTokens((), "safe")], GROUPS)
        with refuses("prompt 5: 65 tokens, but the context is 64"):
            group_sums(transformer, dictionary, [*prompts[:4], LabelledTokens((1,) * 65, "safe")], GROUPS)
        with refuses("needs one of last, mean, max"):
            group_sums(transformer, dictionary, prompts, GROUPS, position="all")
        with refuses("layer 7, but the model has layers 0..2"):
            group_sums(transformer, tiny.make_dictionary(layers=(0, 7)), prompts, GROUPS)
        with refuses("reads width 16, but mlp_act of this model has width 24"):
            group_sums(transformer, tiny.make_dictionary(stream="mlp_act"), prompts, GROUPS)
    assert not [name for name in compiled if "one_device" in name]
