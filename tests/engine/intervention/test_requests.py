"""What a person writes becomes the arrays that say it."""

import jax
import numpy as np
import pytest

from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.edit_arrays import edit_arrays
from causeway.engine.intervention.edits import EMPTY, FOREVER
from causeway.engine.intervention.operations import coefficients, new_value
from causeway.engine.intervention.requests import FeatureEdit, SwapEdit, VectorEdit
from causeway.engine.intervention.sites import STREAMS
from causeway.engine.intervention.tap_requests import Tap
from tests.engine.tiny import CONFIG

F = 3.0


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("set", 5), ("zero", 0), ("add", F + 5), ("scale", 5 * F), ("inhibit", -5 * F), ("own", F), ("mean", 5),
        ("at_most", F), ("at_least", 5),
    ],
)  # fmt: skip
def test_operations_on_a_present_value(operation, expected):
    scale, shift, lower, upper = coefficients(operation, 5.0)
    assert new_value(F, scale, shift, (lower, upper)) == expected


def test_an_unknown_operation_is_refused(refuses):
    with refuses("operation: got 'multiply'; needs one of set, zero"):
        coefficients("multiply", 1.0)


def test_rows_of_features_keep_their_own_layer_value_and_positions(dictionary):
    rows = [
        [FeatureEdit(2, 7, 1.5)],
        [],
        [FeatureEdit(0, 3, 2.0, "add", "last_prompt"), FeatureEdit(0, 4, scope="decode")],
    ]
    (edit,) = edit_arrays(rows, 6, CONFIG, dictionary)
    check_edits((edit,), CONFIG, dictionary)
    assert (edit.spec.stream, edit.spec.family) == ("resid_post", "feature")
    assert edit.layer.tolist() == [[2, EMPTY], [EMPTY, EMPTY], [0, 0]]
    assert edit.feature[2].tolist() == edit.writer[2].tolist() == [3, 4]
    assert (edit.start[2].tolist(), edit.stop[2].tolist()) == ([5, 6], [6, FOREVER])
    assert (edit.scale[2].tolist(), edit.shift[2].tolist()) == ([1, 0], [2, 0])
    assert edit.vectors is None


def test_a_scope_of_several_intervals_takes_several_slots(dictionary):
    rows = [[FeatureEdit(2, 7, 1.5, scope="positions:0,2:4")]]
    (edit,) = edit_arrays(rows, 6, CONFIG, dictionary)
    assert edit.layer.tolist() == [[2, 2]]
    assert (edit.start.tolist(), edit.stop.tolist()) == ([[0, 2]], [[1, 4]])


def test_vectors_carry_their_stream_and_rows_without_edits_have_no_spec(dictionary):
    v = np.arange(16.0)
    rows = [[VectorEdit(1, v, 2.0, "add", stream="mlp_out")], [SwapEdit(1, v, stream="mlp_out")][:0]]
    (edit,) = edit_arrays(rows, 4, CONFIG, None)
    assert (edit.spec.stream, edit.spec.family) == ("mlp_out", "vector")
    np.testing.assert_array_equal(edit.vectors[0, 0], v)
    assert edit_arrays([[SwapEdit(1, v)]], 4, CONFIG, None)[0].spec.family == "swap"
    assert edit_arrays([[], []], 4, CONFIG, dictionary) == ()


def test_replace_is_for_features_alone(dictionary):
    row = [VectorEdit(0, np.ones(16)), FeatureEdit(0, 1)]
    families = [edit.spec.family for edit in edit_arrays([row], 4, CONFIG, dictionary, "replace")]
    assert families == ["replace", "vector"]


def test_kinds_and_streams_are_arrays_of_their_own_in_the_order_of_their_names(dictionary):
    v = np.ones(16)
    rows = [
        [VectorEdit(0, v), FeatureEdit(2, 1), SwapEdit(1, v, stream="attn_out")],
        [VectorEdit(2, v), VectorEdit(0, v)],
    ]
    edits = edit_arrays(rows, 4, CONFIG, dictionary)
    assert [str(edit.spec.stream) + " " + edit.spec.family for edit in edits] == [
        "attn_out swap", "resid_post feature", "resid_post vector",
    ]  # fmt: skip
    assert [edit.layer.tolist() for edit in edits] == [[[1], [EMPTY]], [[2], [EMPTY]], [[0, EMPTY], [2, 0]]]
    again = edit_arrays([row[::-1] for row in rows[:1]], 4, CONFIG, dictionary)
    assert [edit.spec for edit in again] == [edit.spec for edit in edits]


def test_what_does_not_fit_is_refused(dictionary, refuses):
    v = np.ones(16)
    with refuses("mode: got 'deltas'; needs delta or replace"):
        edit_arrays([[FeatureEdit(0, 1)]], 4, CONFIG, dictionary, "deltas")
    with refuses("vector.*8.*needs .16,.$"):
        edit_arrays([[VectorEdit(0, v[:8])]], 4, CONFIG, None)
    for whole in (SwapEdit(1, v), FeatureEdit(2, 7, scope=3)):
        mode = "delta" if isinstance(whole, SwapEdit) else "replace"
        with refuses("edits: row 0 has a .* at one layer and position; swap and replace take the whole stream"):
            check_edits(
                edit_arrays([[whole, VectorEdit(whole.layer, v)]], 4, CONFIG, dictionary, mode), CONFIG, dictionary
            )
        check_edits(edit_arrays([[whole, VectorEdit(0, v)]], 4, CONFIG, dictionary, mode), CONFIG, dictionary)
    (edit,) = edit_arrays([[VectorEdit(0, v)]], 4, CONFIG, None)
    with refuses("edits: two of EditSpec"):
        check_edits((edit, edit), CONFIG, None)


def test_taps_find_their_layers(dictionary):
    assert Tap().bind(None, 3).spec.layers == (0, 1, 2)
    assert Tap(reader="all").bind(dictionary, 3).spec.layers == (0, 2)
    assert Tap("logits", "top_k", width=2).bind(None, 3).spec.layers == (3,)
    assert Tap("final_norm").bind(dictionary, 3).spec.layers == (3,)
    ids = np.array([[1, 5, 9], [0, 2, 4]])
    bound = Tap(reader="selected", ids=ids).bind(dictionary, 3)
    assert bound.spec.width == 3
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(bound))
    assert Tap(reader="project", vectors=np.ones((3, 4, 16))).bind(None, 3).spec.width == 4


def test_taps_without_what_they_read_with_are_refused(dictionary, refuses):
    with refuses("dictionary: missing"):
        Tap(reader="all").bind(None, 3)
    with refuses("tap ids: got nothing"):
        Tap(reader="selected", width=2).bind(dictionary, 3)
    with refuses("tap ids: 24 is outside"):
        Tap(reader="selected", ids=np.array([[1], [24]])).bind(dictionary, 3)


@pytest.mark.parametrize("kind", [FeatureEdit, VectorEdit, SwapEdit])
def test_numbers_of_edits_are_read_as_numbers(kind, refuses):
    thing = 3 if kind is FeatureEdit else np.ones(4)
    assert (kind(np.int64(2), thing).layer, kind(-1, thing).layer, kind(2.0, thing).layer) == (2, -1, 2)
    for layer in (2.9, "2", True, None, 2**40, np.nan):
        with refuses(f"{kind.__name__}.layer: got"):
            kind(layer, thing)
    if kind is FeatureEdit:
        for feature in (-1, 121.9, 2**40, "3", [3]):
            with refuses("FeatureEdit.feature: got"):
                kind(2, feature)
    if kind is not SwapEdit:
        for value in (np.nan, np.inf, "3", 10**400, 1e300):
            with refuses(f"{kind.__name__}.value: got"):
                kind(2, thing, value)
        with refuses("operation: got 'double'; needs one of set, zero"):
            kind(2, thing, operation="double")


@pytest.mark.parametrize("vector", ["abc", None, 3.0, [1.0, np.nan], [[1.0], [1.0, 2.0]], np.ones(3, bool)])
def test_vectors_are_arrays_of_finite_numbers(vector, refuses):
    for kind in (VectorEdit, SwapEdit):
        with refuses(f"{kind.__name__}.vector: got"):
            kind(1, vector)


def test_positions_may_be_numbers(refuses):
    assert FeatureEdit(0, 1, scope=3).scope == "positions:3"
    assert (
        FeatureEdit(0, 1, scope=[3, -1]).scope == FeatureEdit(0, 1, scope=np.array([3, -1])).scope == "positions:3,-1"
    )
    for scope in (2.5, [], [1, "a"], None, True, "positions:x", "everywhere"):
        with refuses("scope: "):
            FeatureEdit(0, 1, scope=scope)


def test_the_empty_slot_cannot_be_written(dictionary, refuses):
    rows = [[FeatureEdit(-1, 7, 1.5)]]
    with refuses("FeatureEdit.layer: got -1; needs a whole number from 0"):
        edit_arrays(rows, 6, CONFIG, dictionary)


@pytest.mark.parametrize(("scope", "count", "at"), [("all", 6, [0, 1, 2, 3, 4, 5]), ("positions:1,4:6", 3, [1, 4, 5])])
def test_a_swap_of_one_vector_a_position(refuses, scope, count, at):
    whole = np.arange(6 * 16.0).reshape(6, 16)
    for vectors in (whole, whole[at]):
        rows = [[SwapEdit(1, vectors, scope)], [SwapEdit(2, whole[0], "last_prompt")]]
        (edit,) = edit_arrays(rows, 6, CONFIG, None)
        check_edits((edit,), CONFIG, None)
        assert edit.start[0, :count].tolist() == at
        np.testing.assert_array_equal(edit.vectors[0, :count], whole[at])
        assert (edit.layer[0, count:] == EMPTY).all()
    with refuses(rf"got shape .4, 16. for resid_post at layer 1; needs .16,., or .6, 16. or .{count}, 16."):
        edit_arrays([[SwapEdit(1, whole[:4], scope)]], 6, CONFIG, None)
    with refuses("needs .16,.$"):
        edit_arrays([[SwapEdit(1, whole, "decode")]], 6, CONFIG, None)


def test_taps_take_one_layer_or_several_from_either_end(dictionary, refuses):
    assert Tap(layers=2).bind(None, 3).spec.layers == (2,)
    assert Tap(layers=[-1, 0]).bind(None, 3).spec.layers == (2, 0)
    assert Tap("logits", layers=-1).bind(None, 3).spec.layers == (3,)
    assert Tap(reader="selected", ids=[1, 5]).bind(dictionary, 3).spec.width == 2
    assert Tap(reader="project", vectors=np.ones((4, 16))).bind(None, 3).vectors.shape == (3, 4, 16)
    for layers, message in (
        ([0, 3], "Tap.layers: got 3"), (1.5, "Tap.layers: got 1.5"), ([2, -1], "Tap.layers: got .2, -1.; needs each"),
        ("all", "Tap.layers: got 'all'"),
    ):  # fmt: skip
        with refuses(message):
            Tap(layers=layers).bind(None, 3)
    with refuses("Tap.ids: got -1"):
        Tap(reader="selected", ids=[-1])
    with refuses("Tap.ids: got 4294967301"):
        Tap(reader="selected", ids=[2**32 + 5])
    with refuses("Tap.reader: got 'every'; needs one of raw"):
        Tap(reader="every")
    with refuses("Tap.stream: got 'resid'; needs one of embed"):
        Tap("resid").bind(None, 3)
    with refuses("Tap.width: 25 is more than the dictionary's 24"):
        Tap(reader="top_k", width=25).bind(dictionary, 3)


def test_tap_lists_the_streams():
    for stream in STREAMS:
        assert stream in Tap.__doc__
