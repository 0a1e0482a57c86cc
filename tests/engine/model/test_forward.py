"""The scanned pass against a plain numpy decoder in float64, with edits and every stream read; causality; padding."""

import jax
import numpy as np
import pytest

from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.edits import EMPTY
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.sites import STREAMS, once
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.config import RopeScaling
from causeway.engine.model.forward import next_token_logits, run

LLAMA_STREAMS = tuple(stream for stream in STREAMS if not stream.endswith("_raw"))
VARIANTS = {
    "untied, biases, one kv head": {
        "tied_embeddings": False,
        "attention_bias": True,
        "mlp_bias": True,
        "num_kv_heads": 1,
    },
    "linear": {"rope_scaling": RopeScaling("linear", 4.0), "num_kv_heads": 4},
    "llama3": {"rope_scaling": RopeScaling("llama3", 8.0, 1.0, 4.0, 32), "rope_theta": 50.0},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_float64_logits_equal_plain_numpy(tiny, plain, variant):
    with jax.enable_x64(True):
        transformer = tiny.make_transformer(tiny.DOUBLE, **VARIANTS[variant])
        got = next_token_logits(transformer, tiny.PROMPT[None])
    assert got.dtype == np.float64
    np.testing.assert_allclose(got[0], plain.logits(transformer, tiny.PROMPT), atol=1e-9)


@pytest.fixture(scope="module")
def edited(tiny, plain):
    """Rows without an edit, with one slot and with two, all streams read: what `run` and what numpy says."""
    edit = tiny.make_edit(
        3, 2, layer=[[EMPTY, EMPTY], [0, EMPTY], [2, 0]], feature=[[0, 0], [5, 0], [7, 11]],
        start=[[0, 0], [2, 0], [4, 1]], stop=[[1, 1], [6, 1], [5, 9]], scale=[[0, 0], [0, 0], [-1, 0.5]],
        shift=[[0, 0], [3, 0], [0, 1]],
    )  # fmt: skip
    count = tiny.CONFIG.num_layers
    with jax.enable_x64(True):
        transformer = tiny.make_transformer(tiny.DOUBLE, attention_bias=True)
        dictionary = tiny.make_dictionary(dtype="float64")
        single = {stream: once(stream, count) for stream in LLAMA_STREAMS}
        layers = {stream: (2, 0) if layer is None else (layer,) for stream, layer in single.items()}
        taps = tuple(bind_tap(TapSpec(s, "raw", layers[s]), None) for s in LLAMA_STREAMS)
        out = run(transformer, np.tile(tiny.PROMPT, (3, 1)), Instruments((bind(edit, dictionary),), taps))
    expected = []
    for row in range(3):
        change, seen = plain.delta_edit(edit, row, edit.spec.stream, dictionary), {}

        def hook(stream, layer, value, change=change, seen=seen):
            seen[stream, layer] = change(stream, layer, value)
            return seen[stream, layer]

        plain.logits(transformer, tiny.PROMPT, hook)
        expected.append(seen)
    return edit, dictionary, taps, out, expected


@pytest.mark.parametrize("stream", LLAMA_STREAMS)
def test_every_stream_of_an_edited_pass_equals_plain_numpy(edited, stream):
    _, _, taps, out, expected = edited
    values = out.records[LLAMA_STREAMS.index(stream)].values
    for place, layer in enumerate(taps[LLAMA_STREAMS.index(stream)].spec.layers):
        for row in range(3):
            np.testing.assert_allclose(values[place, row], expected[row][stream, layer], atol=1e-9)


def test_the_report_holds_the_value_before_the_value_set_and_where(edited, plain):
    edit, dictionary, _, out, expected = edited
    report = out.edits[0]
    at = np.arange(9)[None, :, None]
    active = (edit.layer != EMPTY)[:, None] & (edit.start[:, None] <= at) & (at < edit.stop[:, None])
    np.testing.assert_array_equal(report.applied, active)
    # Row 1's one slot: the unedited stream is the plain stream of row 0, which has no edit.
    stream = expected[0]["resid_post", 0]
    before = [plain.feature(dictionary, 0, 5, x) if 2 <= t < 6 else 0 for t, x in enumerate(stream)]
    np.testing.assert_allclose(report.before[1, :, 0], before, atol=1e-9)
    np.testing.assert_array_equal(report.after[1, :, 0], np.where(active[1, :, 0], 3.0, 0.0))
    assert max(before) > 0


@pytest.mark.slow
def test_changing_a_token_leaves_everything_before_it_to_the_bit(tiny, transformer):
    tokens = np.tile(tiny.PROMPT, (9, 1))
    for t in range(9):
        tokens[t, t] = (tokens[t, t] + 1) % tiny.CONFIG.vocab_size
    changed, clean = (
        next_token_logits(transformer, tokens),
        next_token_logits(transformer, np.tile(tiny.PROMPT, (9, 1))),
    )
    for t in range(9):
        np.testing.assert_array_equal(changed[t, :t], clean[t, :t])
        assert (changed[t, t:] != clean[t, t:]).any(axis=-1).all()


def test_padding_content_and_other_rows_do_not_change_a_bit(tiny, transformer):
    rng, lengths = np.random.default_rng(0), np.array([9, 4, 1])
    tap = bind_tap(TapSpec("resid_post", "raw", (0, 1, 2)), None)

    def padded(order):
        tokens = rng.integers(0, tiny.CONFIG.vocab_size, (3, 9))
        tokens[np.arange(9) < lengths[:, None]] = np.concatenate([tiny.PROMPT[:n] for n in lengths])
        return run(transformer, tokens[order], Instruments((), (tap,)), lengths[order])

    one, other = padded([0, 1, 2]), padded([2, 0, 1])
    place = np.argsort([2, 0, 1])
    valid = np.asarray(one.records[0].valid)
    np.testing.assert_array_equal(valid.sum(axis=1), lengths)
    np.testing.assert_array_equal(one.logits[valid], other.logits[place][valid])
    np.testing.assert_array_equal(one.records[0].values, other.records[0].values[:, place])
    assert not one.records[0].values[:, ~valid].any()


def test_taps_of_layers_that_the_model_lacks_are_refused(tiny, transformer, refuses):
    """A gather would clamp them to the last layer."""
    for stream, layer in (("resid_post", 3), ("mlp_act", -1), ("final_norm", 0)):
        with refuses(f"taps: .*{layer}"):
            run(transformer, tiny.PROMPT[None], Instruments((), (bind_tap(TapSpec(stream, "raw", (layer,)), None),)))
