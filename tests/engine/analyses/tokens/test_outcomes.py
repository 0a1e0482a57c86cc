"""Effects on decisions under each parser and on lengths: as scipy and the house have them of the same numbers."""

import numpy as np
import pytest
from scipy import stats

from causeway.engine.analyses.tokens.summary import by_parser, lines
from causeway.engine.analyses.tokens.tokens import Asked, find_tokens
from causeway.engine.outcome.answers import Answer
from causeway.engine.stats.paired import paired_mean
from causeway.engine.stats.proportions import CountPair, paired_risk_difference, risk_difference
from tests.engine.analyses.tokens.responses import table

ARMS = ("baseline", "patch:risky")
TEXTS = ("2) Stop", "1) Bet $20", "1) Bet $50", "hmm well", "I will spend it all now")


def _rows(rng, prompts, trials):
    return [
        (1, 7, "risky", arm, f"p{prompt}" if prompts > 1 else "risky", trial, TEXTS[rng.integers(len(TEXTS))])
        for arm in ARMS
        for prompt in range(prompts)
        for trial in range(trials)
    ]


def _found(rows, shared=False):
    found = find_tokens(table(rows), Asked(("word",), shared_noise=shared))
    return {(row["parser"], row["outcome"]): row for row in found.outcomes.to_pylist()}


def _values(rows, arm, function):
    return {row[4:6]: function(row[-1]) for row in rows if row[3] == arm}


def test_of_independent_arms_shares_are_fishers_and_means_welchs():
    rows = _rows(np.random.default_rng(0), 1, 25)
    found = _found(rows)
    stops = [np.array(list(_values(rows, arm, lambda text: text == "2) Stop").values())) for arm in ARMS]
    row = found["three_state", "stop"]
    counts = CountPair(*(np.array([n]) for n in (stops[0].sum(), 25, stops[1].sum(), 25)))
    np.testing.assert_allclose([row["effect"], row["low"], row["high"]], np.ravel(risk_difference(counts)))
    fisher = stats.fisher_exact([[stops[1].sum(), stops[0].sum()], [25 - stops[1].sum(), 25 - stops[0].sum()]])
    np.testing.assert_allclose(row["p"], fisher.pvalue)
    lengths = [list(_values(rows, arm, lambda text: len(text.replace("$", "").split())).values()) for arm in ARMS]
    welch, row = stats.ttest_ind(lengths[1], lengths[0], equal_var=False), found["", "length"]
    interval = welch.confidence_interval()
    expected = [np.mean(lengths[1]) - np.mean(lengths[0]), interval.low, interval.high, welch.pvalue]
    np.testing.assert_allclose([row[name] for name in ("effect", "low", "high", "p")], expected)
    assert (row["test"], row["unit"]) == ("Welch t", "response")


def test_what_parsers_make_up_is_in_their_shares_and_told_beside():
    rows = [(1, 7, "risky", arm, "risky", trial, text) for arm in ARMS for trial, text in enumerate(TEXTS * 2)]
    found = _found(rows)
    share = {key: row["patched"] for key, row in found.items()}
    # "hmm well" and "I will spend it all now": the first parser's stops, the second's by the word "end" in "spend".
    assert [share[name, "stop"] for name in ("three_state", "v1", "v2", "v3")] == [0.2, 0.6, 0.6, 0.4]
    assert [share[name, "invalid"] for name in ("three_state", "v1", "v2", "v3")] == [0.4, 0.4, 0.2, 0.2]
    assert share["three_state", "mean_amount"] == pytest.approx(70 / 3)
    assert share["v3", "mean_amount"] == pytest.approx(70 / 4)


def test_arms_that_share_random_numbers_are_paired_by_trial():
    rows = _rows(np.random.default_rng(1), 2, 30)
    found = _found(rows, shared=True)
    stops = [_values(rows, arm, lambda text: float(text == "2) Stop")) for arm in ARMS]
    first, second = (np.array([stop[key] for key in sorted(stops[0])]) for stop in stops)
    row = found["three_state", "stop"]
    expected = paired_risk_difference(first, second)
    np.testing.assert_allclose([row["effect"], row["low"], row["high"]], expected)
    gained, lost = int((second > first).sum()), int((second < first).sum())
    np.testing.assert_allclose(row["p"], stats.binomtest(gained, gained + lost).pvalue)
    lengths = [_values(rows, arm, lambda text: float(len(text.split()))) for arm in ARMS]
    mean = paired_mean(np.array([[lengths[1][key] - lengths[0][key] for key in sorted(lengths[0])]]))
    row = found["", "length"]
    np.testing.assert_allclose([row["effect"], row["low"], row["p"]], [mean.effect[0], mean.low[0], mean.p[0]])
    assert (row["test"], row["unit"]) == ("paired mean over trials", "trial")


def test_of_many_prompts_the_prompt_is_the_unit():
    rows = _rows(np.random.default_rng(2), 15, 6)
    row = _found(rows)["three_state", "stop"]
    stops = [_values(rows, arm, lambda text: float(text == "2) Stop")) for arm in ARMS]
    means = [[np.mean([stop[f"p{p}", t] for t in range(6)]) for p in range(15)] for stop in stops]
    mean = paired_mean(np.diff(np.array(means), axis=0))
    np.testing.assert_allclose([row["effect"], row["low"], row["p"]], [mean.effect[0], mean.low[0], mean.p[0]])
    assert row["unit"] == "prompt"


RANGE = (Answer(" bet $20.", "bet", 20.0), Answer(" bet $50.", "bet", 50.0), Answer(" stop.", "stop"))
FIXED = (Answer(" bet $15.", "bet", 15.0), Answer(" stop.", "stop"))


@pytest.mark.parametrize(
    ("answers", "amounts"),
    [
        # The published study's "safe" context had a menu of $10.
        (None, (10.0, 10.0)),
        # Our own prompts have one menu in both contexts, which their answers tell.
        ({"safe": RANGE}, (20.0, 50.0)),
        ({"safe": FIXED}, (15.0, 15.0)),
        ({}, (None, None)),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_amounts_of_parsers_that_go_by_the_menu_are_of_the_prompts_own(answers, amounts, shared):
    texts = {"baseline": "1) Bet $20", "patch:risky": "1) Bet $50"}
    rows = [(1, 7, "safe", arm, "safe", n, f"{texts[arm]} {'x' * n}") for arm in ARMS for n in range(12)]
    found = find_tokens(table(rows), Asked(("word",), shared_noise=shared), answers=answers)
    for row in found.outcomes.to_pylist():
        if row["outcome"] == "mean_amount" and row["parser"] in ("v2", "v3"):
            assert (row["reference"], row["patched"]) == amounts
            assert (row["effect"] is None) == (amounts[0] is None)
        if row["outcome"] == "bet":
            assert row["reference"] == row["patched"] == 1
    unknown = found.about["responses_of_unknown_menu"]
    assert unknown == (24 if answers == {} else 0)
    told = lines(found.associations, found.outcomes, found.about, 0.05)
    assert any("amounts of v2 and v3 are left out in 24 responses" in line for line in told) == (answers == {})


def test_the_strongest_effects_of_one_parser_stand_beside_what_others_make_of_them():
    # What cannot be read, under the first parsers a stop: three in four of it in one arm, one in four in the other.
    texts = {
        "baseline": ["hmm", "1) Bet $20", "1) Bet $20", "1) Bet $20"],
        "patch:risky": ["hmm", "hmm", "hmm", "bet $9"],
    }
    rows = [(1, 7, "risky", arm, "risky", trial, texts[arm][trial % 4]) for arm in ARMS for trial in range(40)]
    found = find_tokens(table(rows), Asked(("word",)))
    told = found.about["effects_by_parser"]
    assert told["chosen_by"] == "three_state"
    by_name = {row["outcome"]: row["parsers"] for row in told["effects"]}
    assert by_name["invalid"]["three_state"]["effect"] == pytest.approx(0.5)
    assert by_name["stop"]["three_state"]["effect"] == 0
    assert by_name["stop"]["v1"]["effect"] == pytest.approx(0.5)
    assert by_name["stop"]["v1"]["q"] < 0.05
    rows = {(row["parser"], row["outcome"]): row for row in found.outcomes.to_pylist()}
    for row in told["effects"]:
        assert (row["feature"], row["context"], row["contrast"]) == ("L1-7", "risky", "patch:risky - baseline")
        for name, own in row["parsers"].items():
            assert own == {key: rows[name, row["outcome"]][key] for key in ("effect", "low", "high", "q")}
    assert [len(by_parser(found.outcomes, strongest)["effects"]) for strongest in (1, 3)] == [1, 3]
    page = lines(found.associations, found.outcomes, found.about, 0.05)
    (head,) = [place for place, line in enumerate(page) if line.startswith("the strongest effects by parser three_")]
    assert page[head].split()[-4:] == ["three_state", "v1", "v2", "v3"]
    assert len({len(line) for line in page[head : head + 3]}) == 1
