"""Associations against loops over responses and words, with independent arms and with clusters that are in both."""

import numpy as np
import pytest

from causeway.engine.analyses.tokens.associations import Statistics
from causeway.engine.analyses.tokens.tokens import Asked, find_tokens
from tests.engine.analyses.tokens import plain
from tests.engine.analyses.tokens.responses import sampled, table

ARMS = ("baseline", "patch:risky", "patch:safe")


def _rows(found, unit="word"):
    return [row for row in found.associations.to_pylist() if row["unit"] == unit]


def _check(row, expected):
    for name in ("log_odds", "z", "low", "high", "p", "original_log_ratio", "original_p"):
        np.testing.assert_allclose(row[name], expected[name], rtol=1e-8, atol=1e-12, err_msg=f"{name} {row['text']}")
    assert (row["reference_count"], row["patched_count"]) == expected["counts"]
    assert (row["reference_words"], row["patched_words"]) == expected["words"]
    assert row["direction"] == ("adds" if expected["log_odds"] > 0 else "removes")


def _texts(rows, arm, feature):
    return [plain.words(text) for _, own, _, name, _, _, text in rows if name == arm and own in (feature, -1)]


@pytest.mark.parametrize("shared", [False, True])
def test_of_independent_arms_they_are_the_plain_ones(shared):
    rows = sampled(np.random.default_rng(0), ARMS, shared=shared, trials=24)
    found = find_tokens(table(rows), Asked(("word",), statistics=Statistics(min_count=3)))
    every, seen = [plain.words(row[-1]) for row in rows], 0
    for row in _rows(found):
        arm = row["contrast"].removesuffix(" - baseline")
        reference, patched = (_texts(rows, name, row["feature"]) for name in ("baseline", arm))
        expected = plain.independent(reference, patched, row["text"], every)
        _check(row, expected)
        assert [row["reference_responses"], row["patched_responses"]] == expected["held"]
        seen += 1
    wanted = sum(
        count >= 3
        for feature in range(2)
        for arm in ARMS[1:]
        for count in plain.vocabulary(_texts(rows, "baseline", feature) + _texts(rows, arm, feature)).values()
    )
    assert seen == wanted > 30


@pytest.mark.parametrize(("prompts", "trials", "unit"), [(12, 3, "prompt"), (3, 10, "trial")])
def test_of_clusters_in_both_arms_they_are_the_plain_ones(prompts, trials, unit):
    rows = sampled(np.random.default_rng(1), ARMS, prompts=prompts, trials=trials, shared=True)
    # A prompt (trial) that the baseline lacks is in no comparison.
    rows = [row for row in rows if not (row[3] == "baseline" and row[4:6] == ("risky1", 1))]
    found = find_tokens(table(rows), Asked(("word",), shared_noise=True, statistics=Statistics(min_count=3)))
    assert found.about["contexts"]["risky"] == {"prompts": prompts, "unit": unit}
    every, tests = [plain.words(row[-1]) for row in rows], set()
    for row in _rows(found):
        arms = {"baseline": {}, row["contrast"].removesuffix(" - baseline"): {}}
        for _, feature, _, arm, prompt, trial, text in rows:
            if arm in arms and feature in (-1, row["feature"]):
                arms[arm].setdefault(prompt if unit == "prompt" else (prompt, trial), []).append(plain.words(text))
        _check(row, plain.paired(*arms.values(), row["text"], every))
        tests.add(row["test"])
    assert len(tests) == 2


def test_word_groups_are_counted_as_one_word():
    rows = sampled(np.random.default_rng(2), ARMS, features=1)
    found = find_tokens(table(rows), Asked(("word", "word_group")))
    (group,) = [row for row in _rows(found, "word_group") if row["text"] == "bet" and "risky" in row["contrast"]]
    single = [row for row in _rows(found) if row["text"] in ("bet", "bets") and "risky" in row["contrast"]]
    assert group["patched_count"] == sum(row["patched_count"] for row in single)
    assert group["patched_responses"] <= sum(row["patched_responses"] for row in single)


def test_q_counts_all_rows_of_a_unit_as_one_family():
    rows = sampled(np.random.default_rng(3), ARMS)
    found = find_tokens(table(rows), Asked(("word",)))
    p, q = (found.associations[name].to_numpy() for name in ("p", "q"))
    order = np.argsort(p)
    expected = np.minimum.accumulate((p[order] * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    np.testing.assert_allclose(q[order], np.minimum(expected, 1))
    slower = find_tokens(table(rows), Asked(("word",), statistics=Statistics(correction="by")))
    assert (slower.associations["q"].to_numpy() >= q - 1e-12).all()


@pytest.mark.parametrize("prompts", [1, 12])
def test_false_discoveries_of_a_null_stay_rare_where_the_chi_squares_do_not(prompts):
    """Each response has a subject, whose word it repeats; arms do not differ."""
    claimed = naive = 0
    for seed in range(12):
        rng = np.random.default_rng((5, seed))
        rows = sampled(rng, ("baseline", "patch:risky"), features=4, prompts=prompts, trials=30 if prompts == 1 else 4)
        subjects = [f"word{letter}" for letter in "abcdefgh"]
        rows = [(*row[:-1], f"{row[-1]} " + f"{rng.choice(subjects)} " * int(rng.integers(4, 12))) for row in rows]
        found = find_tokens(table(rows), Asked(("word",))).associations
        claimed += bool((found["q"].to_numpy() < 0.05).any())
        naive += bool((found["original_p"].to_numpy() < 0.05 / found.num_rows).any())
    assert claimed <= 2
    assert naive >= 11


def test_words_that_a_feature_adds_and_removes_are_found():
    rng = np.random.default_rng(6)
    rows = sampled(rng, ("baseline", "patch:risky"), features=6, trials=30)
    (often, _), (next_, _) = plain.vocabulary([plain.words(row[-1]) for row in rows]).most_common(2)
    own = [row[3] != "baseline" and row[1] == 2 for row in rows]
    changed = [row[-1].replace(next_, "").replace(often, "jackpot") for row in rows]
    kept = [(*row[:-1], text) if mine else row for row, text, mine in zip(rows, changed, own, strict=True)]
    found = find_tokens(table(kept), Asked(("word",))).associations.to_pylist()
    sure = {(row["feature"], row["text"], row["direction"]) for row in found if row["q"] < 0.05}
    assert {(2, "jackpot", "adds"), (2, often, "removes"), (2, next_, "removes")} <= sure
    assert {feature for feature, _, _ in sure} == {2}
