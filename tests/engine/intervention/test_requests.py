"""What a person writes becomes the arrays that say it."""

import jax
import numpy as np
import pytest

from causeway.engine.intervention.edits import EMPTY, FOREVER, check_edit
from causeway.engine.intervention.requests import (
    FeatureEdit,
    SwapEdit,
    Tap,
    VectorEdit,
    coefficients,
    edit_arrays,
    edit_spec,
)

F = 3.0


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("set", 5), ("zero", 0), ("add", F + 5), ("scale", 5 * F), ("inhibit", -5 * F), ("own", F)],
)
def test_operations_on_a_present_value(operation, expected):
    scale, shift = coefficients(operation, 5.0)
    assert scale * F + shift == expected


def test_an_unknown_operation_is_refused(refuses):
    with refuses("operation: got 'multiply'; needs one of set, zero"):
        coefficients("multiply", 1.0)


def test_rows_of_features_keep_their_own_layer_value_and_positions(dictionary):
    rows = [
        [FeatureEdit(2, 7, 1.5)],
        [],
        [FeatureEdit(0, 3, 2.0, "add", "last_prompt"), FeatureEdit(0, 4, scope="decode")],
    ]
    spec = edit_spec(rows, dictionary)
    assert (spec.stream, spec.family, spec.slots) == ("resid_post", "feature", 2)
    edit = edit_arrays(spec, rows, prompt_length=6, width=16)
    check_edit(edit, spec, 3, dictionary)
    assert edit.layer.tolist() == [[2, EMPTY], [EMPTY, EMPTY], [0, 0]]
    assert edit.feature[2].tolist() == edit.writer[2].tolist() == [3, 4]
    assert (edit.start[2].tolist(), edit.stop[2].tolist()) == ([5, 6], [6, FOREVER])
    assert (edit.scale[2].tolist(), edit.shift[2].tolist()) == ([1, 0], [2, 0])
    assert edit.vectors is None


def test_a_scope_of_several_intervals_takes_several_slots(dictionary):
    rows = [[FeatureEdit(2, 7, 1.5, scope="positions:0,2:4")]]
    spec = edit_spec(rows, dictionary)
    edit = edit_arrays(spec, rows, prompt_length=6, width=16)
    assert edit.layer.tolist() == [[2, 2]]
    assert (edit.start.tolist(), edit.stop.tolist()) == ([[0, 2]], [[1, 4]])


def test_vectors_carry_their_stream_and_rows_without_edits_have_no_spec(dictionary):
    v = np.arange(16.0)
    rows = [[VectorEdit(1, v, 2.0, "add", stream="mlp_out")], [SwapEdit(1, v, stream="mlp_out")][:0]]
    spec = edit_spec(rows, None)
    assert (spec.stream, spec.family) == ("mlp_out", "vector")
    np.testing.assert_array_equal(edit_arrays(spec, rows, 4, 16).vectors[0, 0], v)
    assert edit_spec([[SwapEdit(1, v)]], None).family == "swap"
    assert edit_spec([[], []], dictionary) is None


def test_replace_is_for_features_alone(dictionary):
    assert edit_spec([[FeatureEdit(0, 1)]], dictionary, "replace").family == "replace"
    assert edit_spec([[VectorEdit(0, np.ones(16))]], dictionary, "replace").family == "vector"


def test_what_cannot_be_one_call_is_refused(dictionary, refuses):
    v = np.ones(16)
    with refuses("mix .*FeatureEdit.*VectorEdit"):
        edit_spec([[FeatureEdit(0, 1)], [VectorEdit(0, v)]], dictionary)
    with refuses("mix .*mlp_out.*resid_post"):
        edit_spec([[VectorEdit(0, v)], [VectorEdit(0, v, stream="mlp_out")]], dictionary)
    with refuses("mode: got 'deltas'; needs delta or replace"):
        edit_spec([[FeatureEdit(0, 1)]], dictionary, "deltas")
    with refuses("vector.*8.*needs.*16"):
        edit_arrays(edit_spec([[VectorEdit(0, v[:8])]], None), [[VectorEdit(0, v[:8])]], 4, 16)


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
