"""Every reader against the full encode of the raw stream."""

import numpy as np
import pytest

from causeway.engine.dictionary.activations import KINDS
from causeway.engine.dictionary.dictionary import take
from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.forward import run

# Not in the model's order, and not all of its layers.
LAYERS = (2, 0)
LENGTHS = np.array([9, 4])
# Elementwise and ranked always, the other kinds in slow tests.
SOME = [pytest.param(kind, marks=() if kind in ("jumprelu", "topk") else pytest.mark.slow) for kind in KINDS]


def read(tiny, transformer, *taps, edits=()):
    return run(transformer, np.tile(tiny.PROMPT, (2, 1)), Instruments(edits, taps), LENGTHS)


@pytest.mark.parametrize("kind", SOME)
def test_readers_agree_with_the_full_encode(tiny, transformer, kind):
    dictionary = tiny.make_dictionary(kind)
    ids = np.array([[3, 17, 8], [22, 0, 3]])
    taps = (
        bind_tap(TapSpec("resid_post", "raw", LAYERS), None),
        bind_tap(TapSpec("resid_post", "all", LAYERS), dictionary),
        bind_tap(TapSpec("resid_post", "selected", LAYERS, 3), dictionary, ids),
        bind_tap(TapSpec("resid_post", "top_k", LAYERS, 5), dictionary),
    )
    raw, every, selected, top = (record.values for record in read(tiny, transformer, *taps).records)
    top_ids = np.asarray(read(tiny, transformer, taps[3]).records[0].ids)
    valid = np.arange(9) < LENGTHS[:, None]
    for place, layer in enumerate(LAYERS):
        f = np.asarray(take(dictionary, dictionary.config.index_of(layer)).encode(raw[place])) * valid[..., None]
        np.testing.assert_allclose(every[place], f, atol=1e-5)
        np.testing.assert_allclose(selected[place], f[..., ids[place]], atol=1e-5)
        np.testing.assert_allclose(top[place], -np.sort(-f, axis=-1)[..., :5], atol=1e-5)
        picked = np.take_along_axis(f, top_ids[place], axis=-1)
        np.testing.assert_allclose(picked[valid], np.asarray(top[place])[valid], atol=1e-5)


def test_projections_are_inner_products(tiny, transformer):
    vectors = np.random.default_rng(0).standard_normal((2, 4, 16)).astype(np.float32)
    raw = bind_tap(TapSpec("mlp_out", "raw", LAYERS), None)
    project = bind_tap(TapSpec("mlp_out", "project", LAYERS, 4), None, vectors=vectors)
    raw, projected = (record.values for record in read(tiny, transformer, raw, project).records)
    np.testing.assert_allclose(projected, np.einsum("pbtd,psd->pbts", raw, vectors), atol=1e-4)


def test_positions_without_a_token_are_invalid_and_zero(tiny, transformer, dictionary):
    taps = (
        bind_tap(TapSpec("resid_post", "all", (0,)), dictionary),
        bind_tap(TapSpec("attn_pattern", "raw", (0,)), None),
        bind_tap(TapSpec("logits", "top_k", (3,), 2), None),
    )
    for record in read(tiny, transformer, *taps).records:
        np.testing.assert_array_equal(record.valid, np.arange(9) < LENGTHS[:, None])
    features, patterns, logits = (np.asarray(r.values) for r in read(tiny, transformer, *taps).records)
    assert not features[0, 1, 4:].any()
    assert not patterns[0, 1, :, 4:].any()
    assert not logits[0, 1, 4:].any()
    assert features[0, 0, 8].any()


def test_the_strongest_logits_are_the_logits(tiny, transformer):
    out = read(tiny, transformer, bind_tap(TapSpec("logits", "top_k", (3,), 40), None))
    order = np.argsort(-np.asarray(out.logits[0]), axis=-1)
    np.testing.assert_array_equal(out.records[0].ids[0, 0], order)


def test_a_tap_at_an_edited_site_reads_the_edited_stream(tiny, transformer, dictionary):
    edit = tiny.make_edit(2, layer=2, feature=5, scale=1, shift=4)
    taps = (
        bind_tap(TapSpec("resid_post", "raw", LAYERS), None),
        bind_tap(TapSpec("resid_post", "selected", (2,), 1), dictionary, np.array([[5]])),
    )
    raw, value = read(tiny, transformer, *taps, edits=(bind(edit, dictionary),)).records
    again = np.asarray(take(dictionary, 1).encode(raw.values[0]))[..., 5]
    np.testing.assert_allclose(np.asarray(value.values)[0, 0, :, 0], again[0], atol=1e-4)
    clean = read(tiny, transformer, taps[0]).records[0].values
    assert (np.asarray(clean[0, 0]) != np.asarray(raw.values[0, 0])).any()
    np.testing.assert_allclose(clean[1], raw.values[1], atol=1e-5)


def test_taps_that_cannot_read_are_refused(dictionary, refuses):
    with refuses("dictionary: missing"):
        bind_tap(TapSpec("resid_post", "all", (0,)), None)
    with refuses("must agree"):
        bind_tap(TapSpec("mlp_out", "all", (0,)), dictionary)
    with refuses("layer 1 has no dictionary"):
        bind_tap(TapSpec("resid_post", "selected", (1,), 1), dictionary, np.array([[0]]))
    with refuses("tap ids: got nothing"):
        bind_tap(TapSpec("resid_post", "selected", (0,), 1), dictionary)
    with refuses("tap vectors: got shape"):
        bind_tap(TapSpec("resid_post", "project", (0, 1), 1), None, vectors=np.zeros((1, 1, 16)))
    with refuses("width: got 3 for raw"):
        TapSpec("resid_post", "raw", (0,), 3)
    with refuses("'project' cannot read attn_pattern"):
        TapSpec("attn_pattern", "project", (0,), 3)
    with refuses("reader: got 'none'"):
        TapSpec("resid_post", "none", (0,))
    with refuses("stream: got 'resid'"):
        TapSpec("resid", "raw", (0,))
    with refuses("layers: empty"):
        TapSpec("resid_post", "raw", ())
