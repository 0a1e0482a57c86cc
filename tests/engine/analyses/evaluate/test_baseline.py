"""Metrics of a baseline by hand, and numbers read from text."""

from decimal import Decimal

import numpy as np
import pytest

from causeway.engine.analyses.evaluate.baseline import by_value, line, metrics, row_of, scores_of
from causeway.engine.analyses.evaluate.final_answers import Generated, final_number, marked_number
from causeway.engine.analyses.prompts.catalogue import Criterion, criterion_of
from causeway.engine.analyses.prompts.sets.gsm8k import from_record
from causeway.engine.prompt_record import pair
from causeway.engine.tokenized_prompt import TokenizedPrompt


def _scores():
    """Four prompts of two groups: a clear one, a narrow one, a wrong one, and one that lengths turn round."""
    rows = [((3,), (4,), -1.0, -4.0), ((3,), (4,), -1.0, -2.0), ((3,), (4,), -2.0, -1.0), ((3, 5), (4,), -4.0, -3.0)]
    items = [pair("p", " a", " b", group=f"g{i // 2}", fields={"kind": i % 2}) for i in range(4)]
    prompts = [TokenizedPrompt(item, (1,), row[:2]) for item, row in zip(items, rows, strict=True)]
    return scores_of(prompts, np.array([row[2:] for row in rows]))


def test_margin_and_sign_are_named_apart():
    found = metrics(_scores(), Criterion(2.0, 0.25))
    assert found["margin_success"]["rate"] == 0.25
    assert found["sign_accuracy"]["rate"] == 0.5
    assert found["sign_accuracy_normalised"]["rate"] == 0.75
    assert found["sign_accuracy_equal_length"]["of"] == 3
    assert found["decision"] == "PASS"
    assert (found["sign_accuracy"]["low"], found["certain"]) == (None, False)
    assert found["normalised_difference"]["mean"] == pytest.approx((3 + 1 - 1 + 1) / 4)
    assert found["normalised_difference"]["over_groups"]["mean"] == pytest.approx(1.0)
    assert found["groups"] == 2
    assert metrics(_scores(), Criterion(2.0, 0.26))["decision"] == "FAIL"


def test_a_difference_of_the_margin_itself_is_no_success():
    assert metrics(_scores(), Criterion(3.0, 0.5))["margin_success"]["count"] == 0


def _of_groups(groups, size, right):
    """Prompts of groups whose items are all alike, right in as many groups as said."""
    items = [pair("p", " a", " b", group=f"g{i // size}") for i in range(groups * size)]
    prompts = [TokenizedPrompt(item, (1,), ((3,), (4,))) for item in items]
    return scores_of(prompts, np.array([[-1.0, -4.0] if i // size < right else [-4.0, -1.0]
                                             for i in range(groups * size)]))  # fmt: skip


def test_a_decision_near_its_threshold_is_too_close_to_call():
    near, clear = (metrics(_of_groups(20, 30, right), Criterion(2.0, 0.8)) for right in (17, 20))
    assert (near["decision"], near["certain"]) == (clear["decision"], clear["certain"] ^ True) == ("PASS", False)
    assert "PASS (too close to call); margin success 85% [" in line("b", "test", near)
    assert "PASS; margin success 100% [" in line("b", "test", clear)
    few = metrics(_of_groups(4, 30, 4), Criterion(2.0, 0.8))
    assert "b test: cannot tell: 4 groups, 10 needed; margin success 100% of 120, needs" in line("b", "test", few)


def test_one_prompt_has_no_spread():
    found = metrics(_scores()[:1], Criterion())
    assert found["normalised_difference"]["std"] is None
    assert found["normalised_difference"]["over_groups"]["low"] is None


def test_rates_by_group_and_field():
    by_group = by_value(_scores(), "group", Criterion())
    assert [(row["value"], row["prompts"], row["sign_accuracy"]) for row in by_group] == [
        ("g0", 2, 1.0),
        ("g1", 2, 0.0),
    ]
    assert [row["value"] for row in by_value(_scores(), "kind", Criterion())] == ["0", "1"]
    assert by_value(_scores(), "absent", Criterion()) == []
    row = row_of(_scores()[3], Criterion())
    assert (row["difference"], row["normalised_difference"], row["sign_success"]) == (-1.0, 1.0, False)


def test_thresholds_are_the_documents():
    expected = {
        "grammar_agreement": (2.0, 0.8),
        "factual_recall": (2.0, 0.8),
        "sentiment_continuation": (1.5, 0.75),
        "arithmetic": (2.0, 0.8),
    }
    for name, values in expected.items():
        assert (criterion_of(name).min_score_diff, criterion_of(name).success_threshold) == values
    assert criterion_of("anything").changed(1.0, None) == Criterion(1.0, 0.8)


@pytest.mark.parametrize(
    ("text", "rule", "number"),
    [
        ("so 3 + 4 = 7.\n#### 7", "last", "7"),
        ("#### $1,200", "last", "1200"),
        ("it is 1200.0 dollars", "last", "1200"),
        ("5 and then 8.5", "last", "8.5"),
        ("at 3 we have 9\nQuestion: 5 apples?", "last", "9"),
        (" 91. And 12+5=17.", "first", "91"),
        ("-4 degrees", "first", "-4"),
        ("16-3=13", "last", "13"),
        ("#### none, but 6", "last", "6"),
        ("no number at all", "last", None),
        ("", "first", None),
    ],
)
def test_numbers_are_read_and_compared_as_numbers(text, rule, number):
    found = final_number(text, rule)
    assert found is None if number is None else found == Decimal(number)


def test_marked_numbers_and_rules(refuses):
    assert marked_number("no mark 5") is None
    with refuses("needs one of last, first"):
        final_number("5", "middle")


def test_word_problems_become_prompts(refuses):
    candidate = from_record({"question": "How many?", "answer": "2 * 500 = 1000\n#### 1,000"})
    assert (candidate.correct, candidate.fields["final_answer"]) == (" 1000", "1000")
    assert candidate.prompt == "Question: How many?\nAnswer:"
    assert " 1001" in [wrong.text for wrong in candidate.wrong]
    with refuses("has no field answer"):
        from_record({"question": "How many?"})
    with refuses("needs a final whole number after '####'"):
        from_record({"question": "How many?", "answer": "some"})


def test_generation_is_counted_with_what_could_not_be_read():
    scores = _scores()[:3]
    written = [Generated("7", Decimal(7), True), Generated("8", Decimal(8), False), Generated("?", None, False)]
    numbers = np.array([[s.correct, s.incorrect] for s in scores])
    again = scores_of([s.prompt for s in scores], numbers, written)
    found = metrics(again, Criterion())
    assert found["generation_accuracy"]["rate"] == pytest.approx(1 / 3)
    assert found["generation_unreadable"] == 1
    assert row_of(again[0], Criterion())["generated_number"] == "7"
