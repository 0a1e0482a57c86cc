"""Counts of conditions and trials, as a plain loop over rows counts them."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.audit.coverage import STUDY_CONDITIONS, coverage
from causeway.engine.earlier_results import RESPONSES


def table(rows):
    """`RESPONSES` of (layer, feature, condition, trial, response, action)."""
    columns = {name: [None] * len(rows) for name in RESPONSES.names}
    for at, name in enumerate(("layer", "feature", "condition", "trial", "response", "action")):
        columns[name] = [row[at] for row in rows]
    return pa.table(columns, RESPONSES)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    pairs = [(1, 5), (1, 9), (3, 2)]
    every = [(*pair, c, t, f"r{rng.integers(4)}", str(rng.choice(["stop", "bet"]))) for pair in pairs
             for c in STUDY_CONDITIONS for t in range(5)]  # fmt: skip
    return [row for row in every if rng.random() < 0.8]


def test_trials_actions_and_texts_are_those_of_a_loop(rows):
    found, cells = coverage(table(rows), STUDY_CONDITIONS), defaultdict(list)
    for layer, feature, condition, _, response, action in rows:
        cells[f"L{layer}-{feature}", condition].append((response, action))
    for f, name in enumerate(found.names):
        for c, condition in enumerate(found.conditions):
            mine = cells[name, condition]
            assert found.trials[f, c] == len(mine)
            assert found.texts[f, c] == len({response for response, _ in mine})
            assert found.actions[f, c] == len({action for _, action in mine})


def test_missing_conditions_and_odd_numbers_of_trials_are_listed_by_feature(rows):
    full = [(1, 5, c, t, "a", "bet") for c in STUDY_CONDITIONS for t in range(3)]
    other = [(1, 9, c, t, "a", "bet") for c in STUDY_CONDITIONS for t in range(3)]
    third = [(2, 2, c, t, "a", "bet") for c in STUDY_CONDITIONS[1:] for t in range(3)][:-1]
    found = coverage(table(full + other + third), STUDY_CONDITIONS)
    assert found.missing() == [{"feature": "L2-2", "missing": ["safe_baseline"]}]
    assert found.uneven() == [{"feature": "L2-2", "trials": {STUDY_CONDITIONS[-1]: 2}}]
    assert set(found.usual().values()) == {3}


def test_a_condition_that_no_feature_has_is_missing_from_all():
    found = coverage(table([(1, 5, "safe_baseline", 0, "a", "bet")]), STUDY_CONDITIONS)
    assert found.missing() == [{"feature": "L1-5", "missing": list(STUDY_CONDITIONS[1:])}]


def test_arms_that_never_vary_are_listed_and_single_trials_are_not():
    rows = [(1, 5, "a", t, "same", "bet") for t in range(3)] + [(1, 5, "b", 0, "one", "bet")]
    rows += [(1, 5, "c", t, f"other {t}", "bet") for t in range(3)]
    found = coverage(table(rows))
    assert found.constant("texts") == [{"feature": "L1-5", "condition": "a"}]
    assert found.constant("actions") == [{"feature": "L1-5", "condition": name} for name in "ac"]


def test_a_shared_row_stands_for_every_feature_and_a_layers_own_goes_before():
    rows = [(-1, -1, "baseline", t, "a", "bet") for t in range(4)]
    rows += [(2, -1, "noop", t, "b", "bet") for t in range(2)] + [(-1, -1, "noop", t, "c", "bet") for t in range(3)]
    rows += [(layer, 7, "patched", t, "d", "bet") for layer in (1, 2) for t in range(5)]
    found = coverage(table(rows))
    assert found.names == ("L1-7", "L2-7")
    assert found.shared
    by_name = dict(zip(found.conditions, found.trials.T.tolist(), strict=True))
    assert by_name == {"baseline": [4, 4], "noop": [3, 2], "patched": [5, 5]}


def test_no_responses_are_no_features():
    found = coverage(RESPONSES.empty_table(), STUDY_CONDITIONS)
    assert (found.names, found.missing(), set(found.usual().values())) == ((), [], {0})
