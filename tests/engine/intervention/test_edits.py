"""What an edit changes, what it leaves alone to the bit, and what is refused.

The recorded stream right after an edit is compared with plain numpy on the unedited stream of the same model.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.activations import KINDS
from causeway.engine.dictionary.dictionary import take
from causeway.engine.intervention.apply import bind, read_edit, write_edits
from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.edits import EMPTY, EditSpec
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.sites import EDITABLE
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.forward import run

LAYERS = (0, 2)
# Elementwise and ranked always, the other kinds in slow tests.
SOME = [pytest.param(kind, marks=() if kind in ("jumprelu", "topk") else pytest.mark.slow) for kind in KINDS]


def through(tiny, transformer, edit, dictionary=None, stream="resid_post", spec=EditSpec()):  # noqa: B008
    """The pass with the edit, the stream of `LAYERS` recorded."""
    rows = len(edit.layer)
    tap = bind_tap(TapSpec(stream, "raw", LAYERS), None)
    tokens = np.tile(tiny.PROMPT, (rows, 1))
    return run(transformer, tokens, Instruments((bind(dataclasses.replace(edit, spec=spec), dictionary),), (tap,)))


def emptied(edit):
    """The same rows without an intervention."""
    return dataclasses.replace(edit, layer=np.full_like(edit.layer, EMPTY))


def values_of(dictionary, layer, x):
    return np.asarray(take(dictionary, LAYERS.index(layer)).encode(np.asarray(x)))


@pytest.mark.parametrize("kind", SOME)
def test_at_its_own_value_an_edit_is_the_program_with_empty_slots_to_the_bit(tiny, transformer, kind):
    dictionary, spec = tiny.make_dictionary(kind), EditSpec()
    own = tiny.make_edit(3, 2, layer=2, feature=[[0, 1], [5, 9], [23, 2]], scale=1, shift=0)
    edited = through(tiny, transformer, own, dictionary, spec=spec)
    empty = through(tiny, transformer, emptied(own), dictionary, spec=spec)
    assert (np.asarray(edited.edits[0].before) > 0).any()
    np.testing.assert_array_equal(edited.logits, empty.logits)
    np.testing.assert_array_equal(edited.records[0].values, empty.records[0].values)


@pytest.mark.parametrize("kind", SOME)
def test_a_delta_edit_moves_the_stream_along_the_decoder_row_and_keeps_the_rest(tiny, transformer, kind):
    dictionary = tiny.make_dictionary(kind)
    features = np.array([[4, 11], [7, 0]])
    scale, shift = np.array([[0, 1], [-1, 2]]), np.array([[3, 0.5], [0, 0]])
    edit = tiny.make_edit(2, 2, layer=2, feature=features, scale=scale, shift=shift)
    clean = through(tiny, transformer, emptied(edit), dictionary)
    out = through(tiny, transformer, edit, dictionary)
    x = np.asarray(clean.records[0].values[1])
    f = np.take_along_axis(values_of(dictionary, 2, x), features[:, None], axis=-1)
    target = scale[:, None] * f + shift[:, None]
    rows = np.asarray(dictionary.W_dec[...])[1][features]
    np.testing.assert_allclose(out.records[0].values[1], x + np.einsum("bte,bed->btd", target - f, rows), atol=1e-4)
    np.testing.assert_allclose(out.edits[0].before, f, atol=1e-4)
    np.testing.assert_allclose(out.edits[0].after, target, atol=1e-4)


@pytest.mark.parametrize("kind", ["jumprelu", "topk"])
def test_replace_at_its_own_value_is_the_reconstruction(tiny, transformer, kind):
    dictionary, spec = tiny.make_dictionary(kind), EditSpec(family="replace")
    edit = tiny.make_edit(1, layer=2, feature=4, scale=1, start=2, stop=6)
    x = np.asarray(
        through(tiny, transformer, tiny.make_edit(1, layer=EMPTY), dictionary, spec=spec).records[0].values[1, 0]
    )
    got = np.asarray(through(tiny, transformer, edit, dictionary, spec=spec).records[0].values[1, 0])
    one = take(dictionary, 1)
    np.testing.assert_allclose(got[2:6], one.decode(one.encode(x))[2:6], atol=1e-4)
    np.testing.assert_array_equal(got[[0, 1, 6, 7, 8]], x[[0, 1, 6, 7, 8]])
    # And at another value it is the reconstruction with that feature there.
    f = np.array(one.encode(x))
    f[:, 4] = 2.5
    edit = tiny.make_edit(1, layer=2, feature=4, scale=0, shift=2.5)
    moved = through(tiny, transformer, edit, dictionary, spec=spec).records[0].values[1, 0]
    np.testing.assert_allclose(moved, one.decode(f), atol=1e-4)


def test_vector_and_swap_do_what_their_formulas_say(tiny, transformer):
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((2, 1, 16)).astype(np.float32)
    edit = dataclasses.replace(tiny.make_edit(2, layer=0, scale=-0.5, shift=1.5, start=3), vectors=vectors)
    empty = emptied(edit)
    x = np.asarray(through(tiny, transformer, empty, spec=EditSpec(family="swap")).records[0].values[0])
    swapped = np.asarray(through(tiny, transformer, edit, spec=EditSpec(family="swap")).records[0].values[0])
    np.testing.assert_allclose(swapped[:, 3:], (-0.5 * x + 1.5 * vectors)[:, 3:], atol=1e-4)
    pushed = np.asarray(through(tiny, transformer, edit, spec=EditSpec(family="vector")).records[0].values[0])
    along = np.einsum("btd,bd->bt", x, vectors[:, 0]) / (vectors[:, 0] ** 2).sum(-1)[:, None]
    expected = x + (-1.5 * along + 1.5)[..., None] * vectors
    np.testing.assert_allclose(pushed[:, 3:], expected[:, 3:], atol=1e-4)
    np.testing.assert_array_equal(pushed[:, :3], x[:, :3])


def test_a_swapped_vector_is_there_to_the_bit_however_large_the_stream_was(tiny, transformer):
    vectors = np.random.default_rng(6).standard_normal((2, 1, 16)).astype(np.float32)
    edit = dataclasses.replace(tiny.make_edit(2, layer=0, scale=0, shift=1), vectors=vectors)
    bound = bind(dataclasses.replace(edit, spec=EditSpec(family="swap")))
    for dtype in ("bfloat16", "float32"):
        x = jnp.full((2, 3, 16), 3000.0, dtype)
        change, _ = read_edit(bound, x, 0, jnp.arange(3)[None])
        expected = np.broadcast_to(jnp.asarray(vectors, dtype), x.shape)
        np.testing.assert_array_equal(write_edits([change], x), expected)


@pytest.mark.parametrize("kind", ["relu", "topk"])
def test_outside_its_interval_and_before_it_nothing_changes_a_bit(tiny, transformer, kind):
    dictionary = tiny.make_dictionary(kind)
    edit = tiny.make_edit(3, layer=0, feature=3, shift=9, start=[[0], [4], [8]], stop=[[1], [6], [9]])
    empty = through(tiny, transformer, emptied(edit), dictionary)
    out = through(tiny, transformer, edit, dictionary)
    x, moved = (np.asarray(o.records[0].values[0]) for o in (empty, out))
    positions = np.arange(9)
    inside = (edit.start <= positions) & (positions < edit.stop)
    np.testing.assert_array_equal(moved[~inside], x[~inside])
    assert (moved[inside] != x[inside]).any(axis=-1).all()
    np.testing.assert_array_equal(np.asarray(out.edits[0].applied)[..., 0], inside)
    before = positions < edit.start
    np.testing.assert_array_equal(np.asarray(out.logits)[before], np.asarray(empty.logits)[before])
    last = np.asarray(out.logits)[:, -1] != np.asarray(empty.logits)[:, -1]
    assert last.any(axis=-1).all()


def test_a_control_writes_another_row_at_the_same_norm(tiny, transformer):
    dictionary = tiny.make_dictionary()
    edit = tiny.make_edit(2, layer=2, feature=6, scale=1, shift=2, writer=[[6], [15]])
    empty = through(tiny, transformer, emptied(edit), dictionary)
    out = through(tiny, transformer, edit, dictionary)
    push = np.asarray(out.records[0].values[1]) - np.asarray(empty.records[0].values[1])
    norms = np.linalg.norm(push, axis=-1)
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-4)
    rows = np.asarray(dictionary.W_dec[...])[1]
    for push_row, row in zip(push, rows[[6, 15]], strict=True):
        np.testing.assert_allclose(push_row @ row, norms[0] * np.linalg.norm(row), rtol=1e-4)


def test_rows_of_different_layers_equal_rows_run_with_their_own(tiny, transformer):
    dictionary = tiny.make_dictionary()
    edit = tiny.make_edit(4, layer=[[0], [2], [0], [EMPTY]], feature=[[1], [20], [7], [0]], shift=[[2], [4], [1], [9]])
    together = through(tiny, transformer, edit, dictionary)
    for row in range(4):
        # Four copies of the row: the width of the batch stays what it was.
        alone = through(tiny, transformer, tiny.take_rows(edit, [row] * 4), dictionary)
        np.testing.assert_array_equal(together.logits[row], alone.logits[0])
        np.testing.assert_array_equal(together.records[0].values[:, row], alone.records[0].values[:, 0])


@pytest.mark.parametrize("stream", [stream for stream in EDITABLE if stream != "mlp_norm"])
def test_every_editable_stream_is_edited_where_it_is(tiny, transformer, stream):
    if stream in transformer.config.unformed_streams:
        transformer = tiny.make_transformer(**tiny.FAMILIES["gemma2"])
    vectors = np.zeros((1, 1, 16), np.float32)
    edit = dataclasses.replace(tiny.make_edit(1, layer=2), vectors=vectors)
    out = through(tiny, transformer, edit, stream=stream, spec=EditSpec(stream, "swap"))
    assert np.asarray(out.records[0].values[0]).any()
    np.testing.assert_allclose(out.records[0].values[1], 0, atol=1e-6)


def test_edits_that_cannot_mean_what_they_say_are_refused(tiny, refuses):
    dictionary, ranked = tiny.make_dictionary(), tiny.make_dictionary("topk")

    def check(spec=EditSpec(), dictionary=dictionary, **values):  # noqa: B008
        named = {"layer": 2, "feature": [[3, 4], [3, 4]]} | values
        check_edits((tiny.make_edit(2, 2, spec, **named),), tiny.CONFIG, dictionary)

    check()
    check(feature=3, start=[[0, 4], [4, 0]], stop=[[4, 9], [9, 4]])
    check(feature=3, layer=[[0, 2], [2, 0]])
    with refuses("slots 0 and 1 of row 1 act on one feature and position"):
        check(feature=3, start=[[0, 4], [0, 4]], stop=[[4, 9], [5, 9]])
    with refuses("layer: 3 is outside"):
        check(layer=3)
    with refuses("layer 1 has no dictionary"):
        check(layer=1)
    with refuses("feature: 24 is outside"):
        check(feature=[[3, 24], [0, 1]])
    with refuses("writer: -2"):
        check(writer=-2)
    with refuses("interval is empty"):
        check(start=5, stop=5)
    with refuses("shift: holds a value that is not finite"):
        check(shift=np.nan)
    with refuses("dictionary: missing"):
        check(dictionary=None)
    with refuses("vectors: missing"):
        check(spec=EditSpec(family="swap"))
    with refuses("needs? the whole dictionary|need the whole dictionary"):
        check(dictionary=ranked, layer=[[0, 0], [2, 2]])
    with refuses("stream: got 'logits'"):
        EditSpec("logits")
    with refuses("family: got 'set'"):
        EditSpec(family="set")
