"""Agreement of two measurements, beside a plain reading of what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.engine.analyses.report.agreement import NO_INTERVAL, VERDICTS, agreement

number = st.floats(-5, 5, allow_nan=False).map(lambda value: round(value, 1))
interval = st.one_of(st.none(), st.tuples(st.floats(0, 2), st.floats(0, 2)))
pairs = st.lists(st.tuples(number, number, interval, interval), min_size=1, max_size=30)


def intervals(values, halves):
    rows = [(np.nan, np.nan) if half is None else (value - half[0], value + half[1])
            for value, half in zip(values, halves, strict=True)]  # fmt: skip
    return np.array(rows)


@given(pairs)
def test_pair_by_pair(found):
    first, second = (np.array([row[side] for row in found]) for side in (0, 1))
    first_interval, second_interval = (intervals(values, [row[side] for row in found])
                                       for values, side in ((first, 2), (second, 3)))  # fmt: skip
    said = agreement(first, second, first_interval, second_interval)
    for i, (a, b, half_a, half_b) in enumerate(found):
        assert said.difference[i] == b - a
        if half_a is None or half_b is None:
            assert said.verdict[i] == NO_INTERVAL
            continue
        inside = (b - half_b[0] <= a <= b + half_b[1]) + (a - half_a[0] <= b <= a + half_a[1])
        assert said.verdict[i] == inside
    assert said.signed == sum(a != 0 and b != 0 for a, b, *_ in found)
    assert said.same_sign == sum(a * b > 0 for a, b, *_ in found)
    assert np.isnan(said.spearman) or -1 <= said.spearman <= 1


def test_a_measurement_agrees_with_itself_and_its_negative_does_not():
    values, tight = np.array([1.0, -2.0, 3.0]), np.array([[0.9, 1.1], [-2.1, -1.9], [2.9, 3.1]])
    same = agreement(values, values, tight, tight)
    assert [VERDICTS[number] for number in same.verdict] == ["each in the other's interval"] * 3
    assert (same.same_sign, same.signed) == (3, 3)
    assert same.spearman == pytest.approx(1)
    other = agreement(values, -values, tight, -tight[:, ::-1])
    assert set(other.verdict) == {0}
    assert other.same_sign == 0
    assert other.spearman == pytest.approx(-1)
    assert np.isnan(agreement(np.ones(5), np.arange(5.0), np.full((5, 2), np.nan), np.full((5, 2), np.nan)).spearman)


def test_values_that_are_not_known_are_refused():
    none = np.full((1, 2), np.nan)
    with pytest.raises(ValueError, match="first, second: got a value that is not finite"):
        agreement(np.array([np.nan]), np.zeros(1), none, none)
