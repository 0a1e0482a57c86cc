"""Shares of readable answers per arm, and the unit they are compared over."""

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.audit.readability import readability
from causeway.engine.earlier_results import RESPONSES
from causeway.engine.stats.paired import paired_mean


def table(rows):
    """`RESPONSES` of (layer, feature, context, arm, prompt, valid)."""
    columns = {name: [None] * len(rows) for name in RESPONSES.names}
    for at, name in enumerate(("layer", "feature", "context", "arm", "prompt", "valid")):
        columns[name] = [row[at] for row in rows]
    return pa.table(columns, RESPONSES)


def by_arm(rows):
    return {(row["context"], row["arm"]): row for row in rows}


def test_prompts_are_the_unit_where_there_are_ten():
    rng = np.random.default_rng(0)
    drop = rng.uniform(0.0, 0.4, 12)
    rows = [(-1, -1, "safe", "baseline", f"p{p}", True) for p in range(12) for _ in range(20)]
    for p in range(12):
        rows += [(1, f, "safe", "patch:a", f"p{p}", bool(rng.random() > drop[p])) for f in range(3) for _ in range(20)]
    found = by_arm(readability(table(rows)))["safe", "patch:a"]
    shares = [np.mean([row[5] for row in rows if row[3] == "patch:a" and row[4] == f"p{p}"]) for p in range(12)]
    wanted = paired_mean(np.array([shares]) - 1.0)
    assert found["unit"] == "prompt"
    np.testing.assert_allclose([found["difference"], found["low"], found["high"], found["p"]],
                               [wanted.effect[0], wanted.low[0], wanted.high[0], wanted.p[0]])  # fmt: skip


@pytest.mark.parametrize("shared", [True, False])
def test_features_are_the_unit_where_each_has_a_baseline_and_trials_where_they_share_one(shared):
    rng = np.random.default_rng(1)
    pairs = [(-1, -1)] if shared else [(1, f) for f in range(15)]
    rows = [(*pair, "safe", "baseline", "safe", bool(rng.random() < 0.9)) for pair in pairs for _ in range(30)]
    rows += [(1, f, "safe", "patch:a", "safe", bool(rng.random() < 0.5)) for f in range(15) for _ in range(30)]
    found = by_arm(readability(table(rows)))["safe", "patch:a"]
    assert found["unit"] == ("trial" if shared else "feature")
    assert found["low"] < found["difference"] < found["high"] < 0
    assert found["p"] < 1e-3


def test_arms_that_are_read_alike_are_told_apart_no_more_often_than_they_should():
    rng, low = np.random.default_rng(2), 0
    for _ in range(60):
        rows = [(1, f, "safe", arm, "safe", bool(rng.random() < 0.7)) for f in range(40)
                for arm in ("baseline", "patch:a") for _ in range(10)]  # fmt: skip
        low += by_arm(readability(table(rows)))["safe", "patch:a"]["p"] < 0.05
    assert low <= 9


def test_rows_that_do_not_say_and_arms_without_a_baseline_are_left_alone():
    rows = [(1, f, "safe", "patch:a", "safe", True) for f in range(3)] + [(1, 0, "safe", "baseline", "safe", None)]
    (found,) = readability(table(rows))
    assert (found["trials"], found["valid"], found["difference"], found["q"]) == (3, 1.0, None, None)
    assert readability(RESPONSES.empty_table()) == []
