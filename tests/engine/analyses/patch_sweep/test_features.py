"""Which features a table gives, in what order, and what they are set to."""

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.patch_sweep.features import features_of, parse_rule
from causeway.engine.analyses.screen.table import QUANTILES


@pytest.fixture
def screened():
    """Five features of two layers, as `screen` writes them."""
    columns = {
        "layer": [0, 0, 0, 4, 4], "feature": [3, 9, 1, 3, 8], "d": [0.1, -2.0, 0.5, 1.0, -0.2], "q": [0.5, 0, 0, 0, 0.9]
    }  # fmt: skip
    for group, scale in (("safe", 1.0), ("risky", 10.0)):
        columns |= {f"n_{group}": [20] * 5, f"mean_{group}": [scale * i for i in range(5)]}
        columns |= {f"mean_active_{group}": [None, *(2 * scale * i for i in range(1, 5))]}
        columns |= {f"q{round(100 * q):02d}_{group}": [scale * q] * 5 for q in QUANTILES}
    return pa.table(columns)


def pairs(features):
    return list(zip(features.layer.tolist(), features.feature.tolist(), strict=True))


def test_a_screening_table_gives_the_strongest_first(screened):
    assert pairs(features_of(screened, "mean", 300, None)) == [(0, 9), (4, 3), (0, 1), (4, 8), (0, 3)]
    assert pairs(features_of(screened, "mean", 1, None)) == [(0, 9), (4, 3)]
    assert pairs(features_of(screened, "mean", 300, 3)) == [(0, 9), (4, 3), (0, 1)]


def test_values_follow_the_rule_and_stay_with_their_features(screened):
    got = features_of(screened, "mean", 300, None)
    assert list(got.values) == ["safe", "risky"]
    assert got.values["risky"].tolist() == [10, 30, 20, 40, 0]
    active = features_of(screened, "mean_active", 300, None).values["safe"]
    assert active.tolist() == [2, 6, 4, 8, 0], "a feature that never fired has the value 0"
    fixed = features_of(screened, {"low": -1.0, "high": 2.5}, 300, 2)
    assert {name: v.tolist() for name, v in fixed.values.items()} == {"low": [-1, -1], "high": [2.5, 2.5]}


def test_listed_values_stand_as_they_are():
    table = pa.table({"layer": [7, 2], "feature": [5, 5], "value_calm": [0, 1], "value_wild": [3.5, 4]})
    got = features_of(table, "mean", 1, None)
    assert pairs(got) == [(7, 5), (2, 5)]
    assert {name: v.tolist() for name, v in got.values.items()} == {"calm": [0, 1], "wild": [3.5, 4]}


def test_tables_without_values_are_refused(screened, refuses):
    with refuses("q99.*needs one of"):
        features_of(screened, "q99", 300, None)
    bare = pa.table({"layer": [0], "feature": [1]})
    with refuses("features: the table has not groups' means.*columns value_<group>.*--value=<group>=NUMBER"):
        features_of(bare, "mean", 300, None)
    with refuses("features: the table has not the column mean_active_risky"):
        features_of(screened.drop_columns(["mean_active_risky"]), "mean_active", 300, None)
    assert features_of(bare, {"on": 2.0}, 300, None).values["on"].tolist() == [2.0]


def test_missing_and_fractional_entries_are_refused(refuses):
    with refuses("values of 'a' hold a number that is not finite"):
        features_of(pa.table({"layer": [0, 1], "feature": [1, 1], "value_a": [1.0, None]}), "mean", 1, None)
    for column in ([0.5], ["first"], [None]):
        with refuses("features: column layer"):
            features_of(pa.table({"layer": pa.array(column), "feature": [1], "value_a": [1.0]}), "mean", 1, None)


@pytest.mark.parametrize("column", [[2**32 + 7], [2**63], [-1], [2.9], [float("nan")], [True], ["7"], [None]])
def test_ids_are_checked_before_they_are_narrowed(refuses, column):
    for name, other in (("layer", "feature"), ("feature", "layer")):
        kind = pa.uint64() if column == [2**63] else None
        table = pa.table({name: pa.array(column, kind), other: [1], "value_a": [1.0]})
        with refuses(f"features: column {name}"):
            features_of(table, "mean", 1, None)


def test_whole_floats_are_ids_and_values_stay_in_float32(refuses):
    assert pairs(features_of(pa.table({"layer": [1.0], "feature": [2.0], "value_a": [3]}), "mean", 1, None)) == [(1, 2)]
    for value in (1e39, float("inf")):
        with refuses("values of 'a' hold a number that is not finite in float32"):
            features_of(pa.table({"layer": [1], "feature": [2], "value_a": [value]}), "mean", 1, None)
    with refuses("column value_a is string; needs numbers"):
        features_of(pa.table({"layer": [1], "feature": [2], "value_a": ["x"]}), "mean", 1, None)


def test_rules_as_a_person_writes_them(refuses):
    assert parse_rule("mean_active") == "mean_active"
    assert parse_rule("safe=0, risky=2.5") == {"safe": 0.0, "risky": 2.5}
    for text in ("safe=low", "safe=0,risky", "=3", "safe=1,safe=2", "safe=nan"):
        with refuses(f"value: got '{text}'"):
            parse_rule(text)


def test_what_a_group_is_called_is_kept_apart_from_the_arms_names(refuses):
    """`ablate` and colons have a meaning in the names of arms."""
    for name in ("a:b", "ablate", ""):
        with refuses("name of a value"):
            features_of(pa.table({"layer": [0], "feature": [1], f"value_{name}": [1.0]}), "mean", 1, None)
    assert np.isfinite(features_of(pa.table({"layer": [0], "feature": [1]}), {"b 1": 1.0}, 1, None).values["b 1"]).all()


def test_layers_choose_among_the_tables_features(screened, refuses):
    assert pairs(features_of(screened, "mean", 300, None, layers=(4, 7))) == [(4, 3), (4, 8)]
    assert pairs(features_of(screened, "mean", 1, None, layers=(0, 4))) == [(0, 9), (4, 3)]
    listed = pa.table({"layer": [7, 2], "feature": [5, 5], "value_calm": [0, 1]})
    assert pairs(features_of(listed, "mean", 1, None, layers=[2])) == [(2, 5)]
    with refuses("layers: got 2, 3, but the table has features of 0, 4; give those"):
        features_of(screened, "mean", 300, None, layers=(2, 3))


def test_numbers_are_given_to_groups_that_there_are(screened, refuses):
    given = features_of(screened, {"safe": 0.0, "risky": 2.0}, 300, None, groups=("safe", "risky"))
    assert list(given.values) == ["safe", "risky"]
    with refuses("value: got 'riksy', which is no group; the groups are safe, risky: --value=safe=0,risky=0"):
        features_of(screened, {"safe": 0.0, "riksy": 2.0}, 300, None, groups=("risky",))
    bare = pa.table({"layer": [0], "feature": [1]})
    assert features_of(bare, {"boy": 1.0}, 300, None, groups=("boy", "girl")).values["boy"].tolist() == [1.0]
    with refuses("the groups are boy, girl"):
        features_of(bare, {"by": 1.0}, 300, None, groups=("boy", "girl"))
