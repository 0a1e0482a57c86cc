"""A row's bits are a function of the row and of the static widths, never of the rows around it."""

import numpy as np
import pytest

from causeway.engine.intervention.edits import EMPTY
from causeway.engine.model import generate
from causeway.engine.model.segments import Layout

LAST, ROWS = 8, 7


@pytest.fixture(scope="module")
def edit(tiny):
    """Seven rows: two layers, several features, one at its own value, one empty."""
    return tiny.make_edit(
        ROWS, 2, layer=np.array([[0, EMPTY], [2, EMPTY], [2, 0], [0, EMPTY], [2, EMPTY], [0, 2], [EMPTY, EMPTY]]),
        feature=np.arange(ROWS)[:, None] * 2, start=LAST, scale=np.array([0, 0, 1, 1, -1, 0, 0])[:, None],
        shift=np.array([4, 0, 2, 0, 0, 1, 0])[:, None],
    )  # fmt: skip


@pytest.fixture(scope="module")
def reference(draw, edit):
    return draw(edit)


def assert_same_bits(got, reference, rows):
    """`got` holds the rows `rows` of `reference`."""
    np.testing.assert_array_equal(got.tokens, reference.tokens[rows])
    for a, b in zip(got.records, reference.records, strict=True):
        assert a.values.tobytes() == np.ascontiguousarray(b.values[rows]).tobytes()
    for name in ("before", "after", "applied"):
        np.testing.assert_array_equal(getattr(got, name)[0], getattr(reference, name)[0][rows])


@pytest.mark.parametrize("rows", [[0], [6], [3, 5, 0, 2, 6, 1, 4], [5, 1, 4, 2], [0, 0, 0, 1, 1, 1, 6, 6, 6]])
def test_order_number_and_choice_of_rows_do_not_change_a_bit(draw, tiny, edit, reference, rows):
    assert_same_bits(draw(tiny.take_rows(edit, rows), trials=np.array(rows)), reference, rows)


def test_a_neighbour_that_is_not_finite_does_not_change_a_bit(draw, tiny, edit, reference, monkeypatch):
    monkeypatch.setattr(generate, "check_segment", lambda *_: None)
    shift = edit.shift.copy()
    shift[1] = np.nan
    wild = tiny.make_edit(
        ROWS, 2, **{n: getattr(edit, n) for n in ("layer", "feature", "start", "scale", "writer")}, shift=shift
    )
    got = draw(wild)
    assert not np.isfinite(got.records[1].values[1, 0]).any()
    others = np.array([0, 2, 3, 4, 5, 6])
    for a, b in zip(got.records, reference.records, strict=True):
        assert a.values[others].tobytes() == b.values[others].tobytes()
    np.testing.assert_array_equal(got.tokens[others], reference.tokens[others])


def test_an_edit_at_its_own_value_is_no_edit_to_the_bit(draw, tiny, dictionary):
    """Every feature, active or not, of both layers, beside empty rows of the same trials."""
    count = 2 * tiny.FEATURES
    layer = np.repeat([0, 2], tiny.FEATURES)
    own = tiny.make_edit(2 * count, 2, layer=np.stack([np.tile(layer, 2), np.repeat([2, EMPTY], count)], 1),
                         feature=np.tile(np.arange(tiny.FEATURES), 4)[:, None], start=LAST, scale=1)  # fmt: skip
    own.layer[count:] = EMPTY
    # The second slot would be the first one again where both name layer 2.
    own.feature[:count, 1] = (own.feature[:count, 0] + 1) % tiny.FEATURES
    got = draw(own, trials=np.tile(np.arange(count) % 5, 2))
    assert got.applied[0][:count].any(axis=(1, 2)).all()
    assert (got.before[0][:count] != 0).any()
    np.testing.assert_array_equal(got.before[0], got.after[0])
    np.testing.assert_array_equal(got.tokens[:count], got.tokens[count:])
    for record in got.records:
        assert record.values[:count].tobytes() == record.values[count:].tobytes()


def test_another_bucket_width_agrees_to_rounding(draw, edit, reference):
    """GEMMs of another width round in another order: 1e-5 here, which is why the width is part of a plan."""
    got = draw(edit, layout=Layout(8, (2,)), forced=np.maximum(reference.tokens[:, :2], 0))
    valid = reference.records[0].valid[:, :2]
    for a, b in zip(got.records, reference.records, strict=True):
        np.testing.assert_allclose(a.values[valid], b.values[:, :2][valid], atol=1e-5)


def test_seeds_and_prompts_draw_other_tokens(draw, tiny, edit, reference):
    for change in ({"seed": 2}, {"prompt_id": 1}):
        got = draw(edit, **change)
        assert (got.tokens != reference.tokens).mean() > 0.3
        np.testing.assert_array_equal(got.records[1].values[:, 0], reference.records[1].values[:, 0])
