import itertools

import ml_dtypes
import numpy as np
import pytest

from causeway.ports.files import tensor_copy
from causeway.ports.files.tensor_copy import copy_finite

DTYPES = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16]
ORDERS = [*itertools.permutations(range(3))]


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles so small that small arrays have many."""
    monkeypatch.setattr(tensor_copy, "TILE_BYTES", 64)
    monkeypatch.setattr(tensor_copy, "ROWS", 4)


def random(shape, dtype, order):
    """Values of a dtype, seen with its axes in another order."""
    values = np.random.default_rng(0).standard_normal([shape[axis] for axis in order]).astype(dtype)
    return values.transpose(np.argsort(order))


@pytest.mark.parametrize(("source", "target"), list(itertools.product(DTYPES, DTYPES)))
@pytest.mark.parametrize("order", ORDERS)
def test_equals_a_cast_copy_whatever_the_order_of_the_axes(small_tiles, source, target, order):
    values = random((5, 6, 7), source, order)
    for inner in ORDERS:
        out = np.full((5, 6, 7), np.nan, target).transpose(inner).copy().transpose(np.argsort(inner))
        assert copy_finite(values, out)
        np.testing.assert_array_equal(out.view(f"u{out.itemsize}"), values.astype(target).view(f"u{out.itemsize}"))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0), (1, 1, 1), (300, 2), (2, 300), (9, 1, 4)])
def test_shapes_at_the_edges(small_tiles, shape):
    values = np.asarray(np.random.default_rng(1).standard_normal(shape), np.float32)
    for source in (values, values.T):
        out = np.zeros(source.shape, np.float32)
        assert copy_finite(source, out)
        np.testing.assert_array_equal(out, source)


def test_large_transposed_matrix_is_cut_into_tiles():
    values = random((700, 1500), np.float32, (1, 0))
    out = np.zeros((700, 1500), ml_dtypes.bfloat16)
    assert copy_finite(values, out)
    np.testing.assert_array_equal(out, values.astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -np.nan])
@pytest.mark.parametrize("turn", [False, True])
def test_one_value_that_is_not_finite_is_found(small_tiles, dtype, value, turn):
    values = np.full((20, 30), -1, dtype)
    values[13, 17] = value
    out = np.empty((30, 20) if turn else (20, 30), dtype)
    assert not copy_finite(values.T if turn else values, out)


def test_value_that_the_target_cannot_hold_is_found():
    assert not copy_finite(np.full(3, 1e30, np.float32), np.empty(3, np.float16))
    assert copy_finite(np.full(3, -3e38, np.float32), np.empty(3, np.float32))
    assert copy_finite(np.array([ml_dtypes.finfo(ml_dtypes.bfloat16).max]), np.empty(1, ml_dtypes.bfloat16))
