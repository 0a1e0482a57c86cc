"""Numbers from outside: what means a number is taken, whatever its type; what would have to be bent is refused."""

import math

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from causeway.engine import scalars

WIDTHS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint32, np.uint64)


@given(st.integers(-(2**70), 2**70))
def test_an_integer_is_itself_or_refused(value):
    if 0 <= value <= scalars.INT32_MAX:
        assert scalars.integer(value, "id") == value
    else:
        with pytest.raises(ValueError, match="id: got"):
            scalars.integer(value, "id")


@pytest.mark.parametrize("kind", [int, float, np.int8, np.uint64, np.float32, np.float64, jnp.int32, np.array])
def test_scalars_of_every_library_are_read_alike(kind):
    assert scalars.integer(kind(7), "id") == 7
    assert scalars.real(kind(7), "value") == 7.0


@pytest.mark.parametrize("value", [2.9, math.nan, math.inf, True, np.True_, "7", b"7", None, [7], 10**400, -1])
def test_what_is_no_whole_number_is_refused_in_one_line(value):
    with pytest.raises(ValueError, match=r"^id: got .*; needs a whole number from 0 to 2147483647$"):
        scalars.integer(value, "id")


@pytest.mark.parametrize("value", [math.nan, -math.inf, True, "1.5", None, 10**400, object()])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(ValueError, match=r"^dose: got .*; needs a finite number$"):
        scalars.real(value, "dose")


def test_a_refusal_stays_short_whatever_came():
    with pytest.raises(ValueError) as caught:
        scalars.real(10**4000, "dose")
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("kind", WIDTHS)
def test_arrays_are_checked_before_they_are_narrowed(kind):
    largest = int(np.iinfo(kind).max)
    if largest <= scalars.INT32_MAX:
        assert scalars.integers(np.array([largest], kind), "id").tolist() == [largest]
    else:
        with pytest.raises(ValueError, match=f"id: got .*{str(largest)[:5]}"):
            scalars.integers(np.array([0, largest], kind), "id")


@pytest.mark.parametrize("values", [[2**32], [1.5], [True], ["1"], [[1], [2, 3]], [2**80]])
def test_arrays_that_hold_no_ids_are_refused(values):
    with pytest.raises(ValueError, match=r"^id: got"):
        scalars.integers(values, "id")


def test_an_array_keeps_its_shape_and_whole_floats_count():
    found = scalars.integers([[1.0, 2.0], [3.0, 4.0]], "id")
    assert found.dtype == np.int32
    assert found.tolist() == [[1, 2], [3, 4]]
    assert scalars.integers([], "id").shape == (0,)


def test_negative_layers_count_from_the_end():
    assert [scalars.layer(value, 3) for value in (-3, -1, 0, 2)] == [0, 2, 0, 2]
    for value in (-4, 3, 0.5):
        with pytest.raises(ValueError, match="layer: got"):
            scalars.layer(value, 3)


def test_seeds_that_would_draw_the_same_are_refused():
    assert scalars.seed(2**32 - 1) == 2**32 - 1
    for value in (2**32, -1, 2**64 - 1):
        with pytest.raises(ValueError, match=r"^seed: got"):
            scalars.seed(value)
