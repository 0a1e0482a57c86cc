"""The page about a screening table: what it counts, and that it is JSON."""

import json

import numpy as np
import pytest

from causeway.engine.analyses.screen.accumulate import GroupSums
from causeway.engine.analyses.screen.summary import lines, summarise, usable_rows
from causeway.engine.analyses.screen.table import screen_table
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.tokenized_prompt import TokenizedPrompt


def _table(strata: bool):
    """Two layers of five features; feature 3 of layer 7 differs, feature 0 never fires, feature 1 reads the stratum."""
    rng = np.random.default_rng(0)
    sums = GroupSums(("safe", "risky"))
    labels = ["safe", "risky"] * 40
    high = np.array([i % 8 == 0 if i % 2 == 0 else i % 8 != 1 for i in range(80)])
    for layer in (2, 7):
        values = np.abs(rng.normal(size=(80, 5)))
        values[:, 0] = 0
        values[:, 1] += 5 * high
        values[1::2, 3] += 4 * (layer == 7)
        sums.update(layer, values, labels, [str(h) for h in high] if strata else None)
    return screen_table(sums)


def test_counts_and_order_without_strata():
    table = _table(strata=False)
    got = json.loads(json.dumps(summarise(table, count=3), allow_nan=False))
    assert got["tested"] == 8
    assert got["by_layer"]["7"]["significant"] + got["by_layer"]["2"]["significant"] == got["significant"] >= 3
    assert (got["strongest"][0]["layer"], got["strongest"][0]["feature"]) == (7, 3)
    strengths = [abs(row["d"]) for row in got["strongest"]]
    assert strengths == sorted(strengths, reverse=True)
    assert got["by_layer"]["7"]["greatest_d"] == pytest.approx(strengths[0])


def test_strata_decide_where_there_are_any():
    got = summarise(_table(strata=True))
    assert got["compared"]["d"] == "d_stratified"
    assert (got["significant"], got["by_layer"]["7"]["significant"]) == (1, 1)
    text = "\n".join(lines(got, shown=2))
    assert "1 of 8 features that vary have q_stratified < 0.05" in text
    assert "p: difference of means, deals of the labels drawn at random" in text
    assert len(text.split("\n")) == 5


def test_prompts_that_a_stratified_comparison_rests_on():
    def prompts(stratum, *groups):
        return [TokenizedPrompt(PromptRecord("", group=group, fields={"of": stratum}), (1,)) for group in groups]

    full = prompts("a", "safe", "safe", "risky", "risky", "risky")
    assert usable_rows([*full, *prompts("b", "safe", "risky", "risky"), *prompts("c", "safe", "safe")], ["of"]) == 5
