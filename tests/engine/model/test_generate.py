"""Generation with a cache equals whole passes over the produced sequences, in every scope; refusals."""

import jax
import numpy as np
import pytest

from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.edits import EMPTY, FOREVER, no_edit
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.forward import run
from causeway.engine.model.sampling import Sampling, row_keys
from causeway.engine.model.segments import Layout, segment_lengths

ROWS, LAST, STEPS = 6, 8, 7
SCOPES = {
    "last_prompt": ((LAST, LAST + 1),),
    "decode": ((LAST + 1, FOREVER),),
    "last_prompt_and_decode": ((LAST, FOREVER),),
    "generated positions": ((LAST, LAST + 1), (LAST + 3, LAST + 5)),
    "prompt positions": ((2, 4), (6, LAST)),
    "all": ((0, FOREVER),),
}


@pytest.fixture(scope="module")
def whole_pass(transformer, dictionary, taps):
    """`run` over prompt and produced tokens, from the last prompt token on, rows first as in a generation."""

    def call(prompt, tokens, edit):
        inputs = np.concatenate([np.tile(prompt, (len(tokens), 1)), np.maximum(tokens, 0)], axis=1)[:, :-1]
        out = run(transformer, inputs, Instruments((bind(edit, dictionary),), taps))
        values = [np.moveaxis(np.asarray(r.values)[:, :, len(prompt) - 1 :], 0, 2) for r in out.records]
        return values, [
            np.asarray(a)[:, len(prompt) - 1 :] for a in (out.edits[0].before, out.edits[0].after, out.edits[0].applied)
        ]

    return call


def scoped(tiny, scope):
    """Six rows with other layers, features and kinds of edit; the last one has none."""
    spans = np.array((*SCOPES[scope], (0, 1))[:2])
    layer = np.array([0, 2, 2, 0, 2, EMPTY])[:, None] + np.zeros((1, 2), int)
    layer[:, len(SCOPES[scope]) :] = EMPTY
    return tiny.make_edit(
        ROWS, 2, layer=layer, feature=np.arange(ROWS)[:, None], start=spans[:, 0], stop=spans[:, 1],
        scale=np.array([0, 0, 1, -1, 1, 0])[:, None], shift=np.array([4, 0, 2, 0, 0, 0])[:, None],
    )  # fmt: skip


def assert_equal_to(expected, got, valid):
    """Equal where valid, zero elsewhere."""
    mask = valid.reshape(*valid.shape, *[1] * (got.ndim - 2))
    np.testing.assert_allclose(got, np.where(mask, expected, 0), atol=3e-5)


@pytest.mark.slow
@pytest.mark.parametrize("scope", SCOPES)
def test_cached_equals_whole_passes(tiny, draw, whole_pass, scope):
    edit = scoped(tiny, scope)
    # Rows that differ inside the prompt start from segments of their own: two more programs instead of three.
    early = {"layout": Layout(4, (3, 4))} if scope in ("prompt positions", "all") else {}
    got = draw(edit, **early)
    assert got.prompt_tokens == tuple(tiny.PROMPT)
    valid = got.records[0].valid
    np.testing.assert_array_equal(valid.sum(axis=1), got.lengths)
    values, report = whole_pass(tiny.PROMPT, got.tokens, edit)
    for record, expected in zip(got.records, values, strict=True):
        assert_equal_to(expected, record.values, valid)
    for name, expected in zip(("before", "after", "applied"), report, strict=True):
        assert_equal_to(expected, getattr(got, name)[0], valid)
    assert got.applied[0].any() == (scope != "prompt positions")


def test_the_scopes_above_see_rows_end_early_and_repacked(tiny, draw):
    """What the equalities rest on: some rows stop in the first segment, some later, some never."""
    got = draw(scoped(tiny, "last_prompt_and_decode"), trials=np.arange(ROWS) + 3)
    stops = got.tokens[np.arange(ROWS), got.lengths - 1]
    assert (got.lengths <= 2).any()
    assert (got.lengths == STEPS).any()
    assert np.isin(stops[got.lengths < STEPS], (3, 4, 5, 6)).all()
    assert not np.isin(got.tokens[:, :-1][np.arange(STEPS - 1) < got.lengths[:, None] - 1], (3, 4, 5, 6)).any()
    for row, length in enumerate(got.lengths):
        assert (got.tokens[row, length:] == -1).all()


def test_chosen_tokens_are_the_argmax_of_recorded_logits_and_keyed_noise(tiny, draw):
    """Rows of one trial share their noise whatever their edit; every draw is keyed by (seed, prompt, trial, step)."""
    trials = np.array([5, 5, 9, 9, 5, 9])
    got = draw(scoped(tiny, "decode"), trials=trials, seed=4, prompt_id=17)
    keys = row_keys(4, 17, trials)
    for row, step in zip(*np.nonzero(got.records[1].valid), strict=True):
        noise = jax.random.gumbel(jax.random.fold_in(keys[row], step), (tiny.CONFIG.vocab_size,))
        assert got.tokens[row, step] == np.argmax(got.records[1].values[row, step, 0] / 1.5 + noise)


def test_forced_tokens_are_taken_and_never_end_a_row(tiny, draw, whole_pass):
    edit = scoped(tiny, "last_prompt_and_decode")
    forced = np.full((ROWS, STEPS), -1)
    forced[:, :4] = np.random.default_rng(0).integers(3, 7, (ROWS, 4))
    forced[0] = [3, 4, 5, 6, 3, 4, 5]
    got = draw(edit, forced=forced)
    np.testing.assert_array_equal(got.tokens[:, :4], forced[:, :4])
    np.testing.assert_array_equal(got.tokens[0], forced[0])
    values, _ = whole_pass(tiny.PROMPT, got.tokens, edit)
    for record, expected in zip(got.records, values, strict=True):
        assert_equal_to(expected, record.values, record.valid)


@pytest.mark.slow
def test_recomputed_equals_a_loop_of_whole_passes_edited_at_the_last_token_alone(
    tiny, draw, transformer, dictionary, taps
):
    edit = scoped(tiny, "last_prompt_and_decode")
    forced = np.random.default_rng(0).integers(0, tiny.CONFIG.vocab_size, (ROWS, STEPS))
    got = draw(edit, recomputed=True, layout=Layout(4, (2, 2)), sampling=Sampling(0.0), forced=forced[:, :4])
    cached = draw(edit, forced=forced)
    assert np.abs(cached.records[1].values[:5, 1:4] - got.records[1].values[:5, 1:]).max() > 1e-3
    for step in range(4):
        inputs = np.pad(
            np.concatenate([np.tile(tiny.PROMPT, (ROWS, 1)), got.tokens[:, :step]], axis=1), ((0, 0), (0, 6 - step))
        )
        here = tiny.make_edit(
            ROWS, 2, layer=edit.layer, feature=edit.feature, scale=edit.scale, shift=edit.shift, start=LAST + step,
            stop=LAST + step + 1,
        )  # fmt: skip
        out = run(transformer, inputs, Instruments((bind(here, dictionary),), taps))
        for record, expected in zip(got.records, out.records, strict=True):
            np.testing.assert_allclose(
                record.values[:, step], np.moveaxis(expected.values[:, :, LAST + step], 0, 1), atol=3e-5
            )
        np.testing.assert_array_equal(got.applied[0][:, step], out.edits[0].applied[:, LAST + step])


def test_one_prompt_token_needs_no_prefix(tiny, draw, whole_pass):
    edit = no_edit(2, 2)
    got = draw(edit, prompt=tiny.PROMPT[:1])
    inputs = np.maximum(got.tokens, 0)
    values, _ = whole_pass(tiny.PROMPT[:1], np.pad(inputs, ((0, 4), (0, LAST))), no_edit(ROWS, 2))
    assert_equal_to(values[1][:2, :STEPS], got.records[1].values, got.records[1].valid)


def test_raw_taps_of_any_stream_read_what_the_whole_pass_reads(tiny, draw, transformer):
    count = tiny.CONFIG.num_layers
    layers = {"head_out": (2, 0), "mlp_act": (1,), "final_norm": (count,)}
    taps = tuple(bind_tap(TapSpec(stream, "raw", layers[stream]), None) for stream in layers)
    got = draw(no_edit(3), taps=taps, edits=(), sampling=Sampling(0.0), layout=Layout(4, (2,)))
    inputs = np.concatenate([np.tile(tiny.PROMPT, (3, 1)), got.tokens[:, :1]], axis=1)
    expected = run(transformer, inputs, Instruments((), taps)).records
    for record, whole in zip(got.records, expected, strict=True):
        np.testing.assert_allclose(record.values, np.moveaxis(np.asarray(whole.values), 0, 2)[:, LAST:], atol=3e-5)


def test_segments_grow_and_sum_to_the_length_asked_for():
    assert segment_lengths(100) == (16, 16, 32, 36)
    assert segment_lengths(5) == (5,)
    assert sum(segment_lengths(1000)) == 1000


def test_impossible_layouts_are_refused(refuses):
    with refuses("Layout.rows: got 0"):
        Layout(0, (1,))
    with refuses("Layout.segments: got"):
        Layout(1, ())
    with refuses("Layout.segments: got"):
        Layout(1, (2, 0))
    with refuses("max_new_tokens: got 0"):
        segment_lengths(0)


def test_calls_that_cannot_be_run_are_refused(tiny, draw, transformer, refuses):
    with refuses("max_new_tokens: 7 after a prompt of 59 tokens exceeds the context of 64"):
        draw(no_edit(1, 2), prompt=[1] * 59)
    with refuses("recomputed: an edit starts at position 3, before the last prompt token"):
        draw(tiny.make_edit(1, 2, layer=0, start=3, feature=[[0, 1]]), recomputed=True)


def test_what_would_be_ignored_silently_is_refused(tiny, draw, refuses):
    edit = tiny.make_edit(1, 2, layer=[[0, EMPTY]], start=3)
    with refuses("first_edit: 6, but an edit starts at position 3"):
        draw(edit, first_edit=6)
    with refuses("trials: 2 rows, but edit.layer has 1"):
        draw(edit, trials=np.arange(2))
    with refuses("trials: empty"):
        draw(no_edit(0, 2))
    with refuses("prompt: empty"):
        draw(no_edit(1, 2), prompt=[])
    with refuses("forced: shape"):
        draw(no_edit(1, 2), forced=np.zeros((1, 3), np.int32))


@pytest.mark.parametrize(
    ("stream", "layer", "message"),
    [
        ("attn_pattern", 0, "taps: attn_pattern is not formed token by token"),
        ("resid_post", 3, "taps: layer 3 of resid_post is outside the model's layers 0..2"),
        ("resid_post", -1, "taps: layer -1"),
        ("logits", 2, "taps: logits comes once, at layer 3"),
    ],
)
def test_taps_that_cannot_be_read_are_refused(draw, refuses, stream, layer, message):
    with refuses(message):
        draw(no_edit(1, 2), taps=(bind_tap(TapSpec(stream, "raw", (layer,)), None),))
