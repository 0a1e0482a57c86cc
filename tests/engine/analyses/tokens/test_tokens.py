"""What is compared with what, what is left out first, and what is refused."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.tokens.request import of_results, tokens
from causeway.engine.analyses.tokens.summary import effects, entries, lines
from causeway.engine.analyses.tokens.tokens import Asked, find_tokens
from causeway.engine.earlier_results import FEATURES, REPEATED, EarlierResults
from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_record import PromptRecord
from tests.engine.analyses.tokens.responses import sampled, table

WORDS = Asked(("word",))


def _results(rows, kind="study", features=()):
    decided = [{"layer": 1, "feature": feature} for feature in features]
    return EarlierResults(
        FEATURES.empty_table().from_pylist(decided, FEATURES), table(rows), REPEATED.empty_table(), (), kind, {}, ()
    )


def test_the_no_op_is_the_reference_where_there_is_one():
    rows = sampled(np.random.default_rng(0), ("baseline", "noop", "patch:risky", "random:risky", "dose:risky:0.5"))
    found = find_tokens(table(rows), WORDS)
    assert found.contrasts == ["patch:risky - noop"]
    assert found.about["arms_left_out"] == ["baseline", "dose:risky:0.5", "random:risky"]
    other = find_tokens(table(rows), Asked(("word",), reference="baseline"))
    assert other.contrasts == ["patch:risky - baseline"]


def test_what_is_missing_is_counted_and_listed_and_the_rest_compared():
    rows = sampled(np.random.default_rng(1), ("baseline", "patch:risky", "patch:safe"), features=3)
    rows = [row for row in rows if (row[1], row[3]) not in ((0, "baseline"), (2, "patch:safe"))]
    found = find_tokens(table(rows), WORDS)
    assert found.about["missing"] == 3
    assert found.about["missing_first"] == ["L1-0 in risky: baseline"] * 2 + ["L1-2 in risky: patch:safe"]
    assert set(found.associations["feature"].to_pylist()) == {1, 2}
    both = tokens(_results(rows, features=(1, 2, 9)), units=["word"])
    assert both.about["decided_without_responses_first"] == ["L1-9"]
    assert both.about["responses_undecided_first"] == ["L1-0"]
    assert "missing: 3 (feature, context, arm)" in str(both)


def test_contexts_of_few_and_of_many_prompts_stand_side_by_side():
    arms = ("baseline", "patch:risky")
    parts = [sampled(np.random.default_rng(n), arms, context=c, prompts=p, trials=6) for n, (c, p) in
             enumerate((("safe", 12), ("risky", 1)))]  # fmt: skip
    both = find_tokens(table([*parts[0], *parts[1]]), WORDS)
    assert [both.about["contexts"][name]["unit"] for name in ("safe", "risky")] == ["prompt", "response"]
    for name, part in zip(("safe", "risky"), parts, strict=True):
        alone = find_tokens(table(part), WORDS)
        for kind in ("associations", "outcomes"):
            rows = [row for row in getattr(both, kind).to_pylist() if row["context"] == name]
            own = getattr(alone, kind).to_pylist()
            key = ("feature", "contrast", "text") if kind == "associations" else ("feature", "parser", "outcome")
            told = [{tuple(row[k] for k in key): row["p"] for row in listed} for listed in (rows, own)]
            assert told[0] == pytest.approx(told[1])
            assert {row["test"] for row in rows} == {row["test"] for row in own}


def test_trials_that_repeat_one_text_count_once():
    """Greedy rollouts: what differs between two texts is no evidence, however often they were written."""
    rows = [
        (1, 0, "safe", arm, f"p{prompt}", trial, f"{arm[:5]} {prompt} go on")
        for arm in ("baseline", "patch:risky") for prompt in range(3) for trial in range(30)
    ]  # fmt: skip
    found = find_tokens(table(rows), WORDS)
    assert found.about["repeated_trials_left_out"] == 6 * 29
    assert (found.associations["p"].to_numpy() > 0.05).all()


def test_what_repeats_the_prompt_and_what_follows_the_decision_is_left_out():
    prompt = "First set your own target amount, then make decisions based on that goal."
    texts = ["stop lucky", f"I bet $15 now. {prompt} jackpot", f"I bet $25 now. {prompt} jackpot"]
    rows = [
        (1, 0, "safe", arm, "safe", trial, texts[trial % 3])
        for arm in ("baseline", "patch:risky") for trial in range(12)
    ]  # fmt: skip
    whole = find_tokens(table(rows), WORDS)
    without = find_tokens(table(rows), WORDS, prompts={"safe": prompt})
    until = find_tokens(table(rows), Asked(("word",), until_decision="three_state"))
    texts = [set(found.associations["text"].to_pylist()) for found in (whole, without, until)]
    assert {"target", "jackpot", "lucky", "stop"} <= texts[0]
    assert texts[0] - texts[1] == {"first", "set", "your", "own", "target", "amount", "then", "make", "decisions",
                                   "based", "on", "that", "goal"}  # fmt: skip
    assert texts[2] == {"i", "bet", "$15", "$25", "stop"}
    assert without.about["units"]["word"]["echoes_left_out"] > 0


def _counting(prompt, text):
    """A text and the trial's number, in both arms."""
    return [(1, 0, "safe", arm, prompt, n, f"{text} x{'y' * n}") for arm in ("baseline", "patch:a") for n in range(8)]


def test_prompts_are_known_by_id_by_place_or_by_group():
    echo = "one two three four five six"
    rows = [
        (1, 0, "safe", arm, "0", trial, f"{echo} x{'y' * trial}")
        for arm in ("baseline", "patch:a")
        for trial in range(8)
    ]
    for record in (PromptRecord(echo, id="0"), PromptRecord(echo, id="state", group="b")):
        found = tokens(_results(rows, "patch_sweep"), units=["word"], prompts=[record])
        assert "three" not in found.associations["text"].to_pylist()
    rows = [(*row[:4], "safe", *row[5:]) for row in rows]
    found = tokens(_results(rows), units=["word"], prompts=[PromptRecord(echo, id="q7", group="safe")])
    assert "three" not in found.associations["text"].to_pylist()


class Letters:
    """A tokenizer whose token n is the n-th letter, or "ab" as one."""

    special_ids, unknown_id, parts_at_spaces, fingerprint = frozenset({0}), None, False, "letters"

    def encode_all(self, texts):
        return [[ord(letter) - 96 for letter in text] for text in texts]

    def encode(self, text, unknown=False):
        return self.encode_all([text])[0]

    def decode(self, ids):
        return "".join("ab" if i == 27 else chr(96 + i) for i in ids)


def test_tokens_that_were_drawn_are_counted_and_not_the_texts_spelled_again():
    arms = ("baseline", "patch:a")
    rows = table([(1, 0, "safe", arm, "safe", n, "cab" + "b" * (n % 2)) for arm in arms for n in range(8)])
    drawn = [first + [2] * (n % 2) for first in ([0, 3, 1, 2], [3, 27]) for n in range(8)]
    found = find_tokens(rows.append_column("tokens", pa.array(drawn)), Asked(("token",)), Letters())
    rows = found.associations.to_pylist()
    assert {row["text"]: (row["token_id"], row["reference_count"], row["patched_count"]) for row in rows} == {
        "ab": (27, 0, 8), "a": (1, 8, 0), "b": (2, 12, 4), "c": (3, 8, 8),
    }  # fmt: skip
    assert {(row["reference_words"], row["patched_words"]) for row in rows} == {(28, 20)}


def test_the_tokenizer_of_another_model_is_refused(refuses):
    rows = sampled(np.random.default_rng(7), ("baseline", "patch:risky"))
    results = dataclasses.replace(_results(rows, "patch_sweep"), about={"tokenizer": "another"})
    with refuses("model: its tokenizer is not that of the model that wrote the responses"):
        of_results(results, Asked(), Letters(), None)


def test_the_published_prompts_are_known():
    text = "This slot machine may have hidden patterns."
    assert tokens(_results(_counting("safe", text)), units=["word"]).about["units"]["word"]["echoes_left_out"] == 7 * 16


def test_lists_hold_the_strongest_of_each_feature():
    rows = sampled(np.random.default_rng(2), ("baseline", "patch:risky"), trials=40)
    rows = [(*row[:-1], row[-1] + (" jackpot thrill" if "patch" in row[3] else " careful")) for row in rows]
    found = find_tokens(table(rows), WORDS).associations
    listed = effects(found, "patch:risky - baseline", 0.05, keep=1)
    assert [[len(lists["adds"]), len(lists["removes"])] for lists in listed.values()] == [[1, 1]] * 2
    assert listed["L1-0"]["removes"][0]["word"] == "careful"
    assert {row["token"] for row in entries(found, 0.05, keep=9)["L1-1"]} >= {"jackpot", "thrill", "careful"}


def test_what_is_listed_has_a_small_q_and_an_interval_that_leaves_0_out():
    rows = sampled(np.random.default_rng(2), ("baseline", "patch:risky"), trials=40)
    rows = [(*row[:-1], row[-1] + (" jackpot" if "patch" in row[3] else "")) for row in rows]
    found = find_tokens(table(rows), WORDS)
    for row in found.associations.to_pylist():
        assert row["interval_excludes_0"] == (row["low"] > 0 or row["high"] < 0)
    names = found.associations.column_names
    wide = found.associations.set_column(
        names.index("interval_excludes_0"), "interval_excludes_0", pa.array([False] * found.associations.num_rows)
    )
    assert effects(found.associations, "patch:risky - baseline", 0.05, keep=9)
    assert effects(wide, "patch:risky - baseline", 0.05, keep=9) == {}
    assert all(row["original"] for listed in entries(wide, 0.05, keep=9).values() for row in listed)
    told = lines(wide, found.outcomes, found.about, 0.05)
    assert any("and an interval that leaves 0 out in 0, which are listed" in line for line in told)
    assert "interval that leaves 0 out" in found.about["listed"]


def test_a_test_of_independent_arms_is_refused_where_all_arms_are_paired(refuses):
    one, many = (sampled(np.random.default_rng(3), ("baseline", "patch:a"), prompts=n) for n in (1, 12))
    assert tokens(_results(one), units=["word"], exact_test="mid_p").associations.num_rows
    with refuses("exact_test: got mid_p; arms are paired by trial in every context"):
        tokens(_results(one, "patch_sweep"), units=["word"], exact_test="mid_p")
    for test in ("boschloo", "fisher"):
        with refuses(f"exact_test: got {test}; arms are paired by prompt in every context"):
            tokens(_results(many), units=["word"], exact_test=test)


def test_menus_of_a_sweep_are_those_of_its_prompts_records():
    rows = [(1, 0, "safe", arm, "0", n, f"1) Bet ${20 + n % 2}") for arm in ("baseline", "patch:a") for n in range(8)]
    answers = (Answer(" bet $20.", "bet", 20.0), Answer(" bet $21.", "bet", 21.0))
    known = tokens(_results(rows, "patch_sweep"), units=["word"], prompts=[PromptRecord("state", answers, id="0")])
    for found, amount in ((known, 20.5), (tokens(_results(rows, "patch_sweep"), units=["word"]), None)):
        amounts = {
            row["parser"]: row["patched"] for row in found.outcomes.to_pylist() if row["outcome"] == "mean_amount"
        }
        assert amounts == {"three_state": 20.5, "v1": 20.5, "v2": amount, "v3": amount}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["arm"]), "responses: lacks arm; needs layer, feature"),
        (lambda t: t.slice(0, 0), "responses: none; exact probabilities have no words"),
        (lambda t: t.filter([arm == "baseline" for arm in t["arm"].to_pylist()]), "needs a patched one"),
        (lambda t: t.filter([arm != "baseline" for arm in t["arm"].to_pylist()]), "needs baseline or noop"),
        (lambda t: t.set_column(7, "response", [["?"] * t.num_rows]), "responses: no words in any of them"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message, refuses):
    rows = table(sampled(np.random.default_rng(3), ("baseline", "patch:risky")))
    with refuses(message):
        find_tokens(change(rows), WORDS)


def test_features_of_another_study_are_refused(refuses):
    rows = sampled(np.random.default_rng(4), ("baseline", "patch:risky"))
    with refuses("features: none of 1 has responses in the results"):
        tokens(_results(rows), features=FEATURES.empty_table().from_pylist([{"layer": 5, "feature": 5}], FEATURES))
    with refuses("prompts: none of 1 is a prompt of the results"):
        tokens(_results(rows), prompts=[PromptRecord("x", id="zz")])
