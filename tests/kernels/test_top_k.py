"""The two stages give what a stable sort of each whole row gives."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from causeway.kernels.top_k import top_k

DRAWS = {
    "distinct": lambda rng, shape: rng.standard_normal(shape),
    "mostly zero": lambda rng, shape: np.maximum(rng.standard_normal(shape) - 2.5, 0),
    "few values": lambda rng, shape: rng.integers(-1, 3, shape),
    "two zeros": lambda rng, shape: rng.choice([0.0, -0.0, -1.0], shape, p=[0.01, 0.01, 0.98]),
    "not finite": lambda rng, shape: rng.choice(
        [np.nan, -np.nan, np.inf, -np.inf, 0, 1], shape, p=[0.002, 0.002, 0.3, 0.3, 0.3, 0.096]
    ),
    "none finite": lambda rng, shape: np.full(shape, -np.inf),
}  # fmt: skip


def sorted_rows(entries: np.ndarray, k: int) -> np.ndarray:
    """Places by (not a number, value, -place), largest first."""
    keys = np.where(np.isnan(entries), np.inf, entries.astype(np.float64))
    number = ~np.isnan(entries)
    return np.stack([np.lexsort((np.arange(len(row)), -row, n)) for row, n in zip(keys, number, strict=True)])[:, :k]


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("n", "k"), [(2048, 2), (1999, 7), (40, 40)])
def test_the_k_largest_are_those_of_a_stable_sort(draw, dtype, n, k):
    entries = np.asarray(jnp.asarray(DRAWS[draw](np.random.default_rng(0), (9, n)), dtype))
    values, places = jax.jit(top_k, static_argnums=1)(jnp.asarray(entries), k)
    np.testing.assert_array_equal(places, sorted_rows(entries, k))
    wanted = np.take_along_axis(entries, np.asarray(places), axis=1)
    np.testing.assert_array_equal(np.asarray(values, np.float32), wanted.astype(np.float32))


def test_axes_before_the_last_stay():
    entries = jax.random.normal(jax.random.key(0), (2, 3, 5000))
    values, places = jax.jit(top_k, static_argnums=1)(entries, 4)
    wanted, at = jax.lax.top_k(entries, 4)
    np.testing.assert_array_equal(values, wanted)
    np.testing.assert_array_equal(places, at)


def test_gradients_reach_what_was_kept():
    entries = jnp.maximum(jax.random.normal(jax.random.key(0), (2, 900)) - 3, 0)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(top_k(x, 2)[0])))(entries)
    kept = np.argsort(-np.asarray(entries), axis=1, kind="stable")[:, :2]
    np.testing.assert_array_equal(np.nonzero(gradient)[1].reshape(2, 2), np.sort(kept, axis=1))


def test_entries_split_over_devices_are_not_brought_together():
    """Maxima of groups are, and the same entries are found."""
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    entries = jnp.maximum(jax.random.normal(jax.random.key(0), (8, 8192)) - 1.5, 0)
    split = jax.device_put(entries, NamedSharding(mesh, PartitionSpec("data", "model")))
    program = jax.jit(top_k, static_argnums=1)
    for whole, found in zip(program(entries, 16), program(split, 16), strict=True):
        np.testing.assert_array_equal(found, whole)
    gathered = re.findall(r"f32\[(\d+),(\d+)\]\S* all-gather\(", program.lower(split, 16).compile().as_text())
    assert max(int(width) for _, width in gathered) <= 8192 // 16
