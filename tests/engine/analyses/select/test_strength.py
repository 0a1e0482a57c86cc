"""The strongest of each layer, or of all, as sorting by hand finds them."""

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.select.strength import RANKS, strength, strongest
from causeway.engine.earlier_results import FEATURES


def table(rng, features=60, layers=4):
    """A features table with everything known but a few nulls."""
    effect = rng.normal(size=features)
    width = rng.uniform(0.1, 2.0, features)
    columns = {name: [None] * features for name in FEATURES.names}
    columns |= {
        "layer": rng.integers(0, layers, features), "feature": rng.permutation(features),
        "cohen_d": pa.array(rng.normal(size=features), mask=rng.random(features) < 0.1),
        "effect": effect, "low": effect - width, "high": effect + width,
    }  # fmt: skip
    return pa.table(columns, FEATURES)


@pytest.fixture
def features():
    return table(np.random.default_rng(0))


def by_hand(row, rank_by):
    if rank_by == "interval":
        return row["low"] if row["low"] > 0 else -row["high"] if row["high"] < 0 else max(row["low"], -row["high"])
    return None if row[rank_by] is None else abs(row[rank_by])


@pytest.mark.parametrize("rank_by", ["cohen_d", "effect", "interval"])
def test_strength_is_the_size_or_the_nearer_end_of_the_interval(features, rank_by):
    wanted = [np.nan if (size := by_hand(row, rank_by)) is None else size for row in features.to_pylist()]
    np.testing.assert_array_equal(strength(features, rank_by), wanted)


def test_an_interval_around_0_is_weaker_than_one_that_leaves_it_out():
    low, high = [0.1, -0.3, -0.01, -3.0], [0.2, -0.2, 5.0, 3.0]
    columns = {name: [None] * 4 for name in FEATURES.names} | {"low": low, "high": high}
    columns |= {"layer": [0] * 4, "feature": [0, 1, 2, 3]}
    assert strongest(pa.table(columns, FEATURES), "interval", 9)["feature"].to_pylist() == [1, 0, 2, 3]


@pytest.mark.parametrize("rank_by", ["cohen_d", "effect", "interval"])
def test_the_strongest_of_each_layer_are_taken_and_come_strongest_first(features, rank_by):
    found = strongest(features, rank_by, 3)
    rows = [(by_hand(row, rank_by), row) for row in features.to_pylist() if by_hand(row, rank_by) is not None]
    wanted = set()
    for layer in range(4):
        mine = sorted((-size, row["feature"]) for size, row in rows if row["layer"] == layer)
        wanted |= {feature for _, feature in mine[:3]}
    assert set(found["feature"].to_pylist()) == wanted
    assert found["strength"].to_pylist() == sorted(found["strength"].to_pylist(), reverse=True)
    assert found["rank"].to_pylist() == list(range(1, found.num_rows + 1))


def test_the_strongest_of_all_do_not_look_at_layers(features):
    found = strongest(features, "effect", 1, top_total=7)
    sizes = sorted(np.abs(features["effect"].to_numpy()), reverse=True)
    np.testing.assert_array_equal(found["strength"].to_numpy(), sizes[:7])


def test_all_are_taken_in_order_without_a_rank(features):
    found = strongest(features, "all", 1)
    pairs = list(zip(found["layer"].to_pylist(), found["feature"].to_pylist(), strict=True))
    assert pairs == sorted(pairs)
    assert len(pairs) == features.num_rows
    assert found["rank"].null_count == found["strength"].null_count == features.num_rows


def test_the_order_of_the_rows_does_not_matter(features):
    shuffled = features.take(np.random.default_rng(1).permutation(features.num_rows))
    for rank_by in RANKS:
        assert strongest(shuffled, rank_by, 2).equals(strongest(features, rank_by, 2))


def test_ties_go_by_layer_and_feature():
    columns = {name: [None] * 4 for name in FEATURES.names}
    columns |= {"layer": [1, 0, 1, 0], "feature": [5, 9, 2, 3], "effect": [0.5, -0.5, 0.5, 0.5]}
    found = strongest(pa.table(columns, FEATURES), "effect", 1)
    assert list(zip(found["layer"].to_pylist(), found["feature"].to_pylist(), strict=True)) == [(0, 3), (1, 2)]


def test_what_nothing_is_known_of_cannot_be_ranked_by(features):
    at = features.column_names.index("cohen_d")
    unknown = features.set_column(at, features.schema.field(at), pa.nulls(features.num_rows, pa.float64()))
    with pytest.raises(ValueError, match="rank_by: got cohen_d, which none of 60 features has; rank by effect"):
        strongest(unknown, "cohen_d", 3)
