"""Prompts that are filled otherwise: their texts, their answers, and what is refused."""

import dataclasses

import numpy as np
import pytest

from causeway.engine.analyses.adversarial.bases import WORD, base_of, known_prompts
from causeway.engine.analyses.adversarial.formulas import written
from causeway.engine.analyses.adversarial.templates import bases_of
from causeway.engine.analyses.prompts.sets import arithmetic
from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_record import check_pair, pair


def sums(count, seed=0):
    """Prompts of the set `arithmetic`, of random operands in all phrasings, with one of their wrong answers."""
    rng = np.random.default_rng(seed)
    found = []
    for candidate in arithmetic.candidates(rng, count):
        wrong = candidate.wrong[int(rng.integers(len(candidate.wrong)))]
        fields = {**candidate.fields, **wrong.fields}
        found.append(pair(candidate.prompt, candidate.correct, wrong.text, id=candidate.prompt, fields=fields))
    return [found[int(i)] for i in rng.permutation(len(found))[:count]]


def test_answers_of_sums_are_those_that_the_set_gives_for_the_new_operands():
    rng = np.random.default_rng(1)
    for record in sums(300):
        base, operand = base_of(record, ["a", "b"]), str(int(rng.integers(10, 100)))
        slot = "ab"[int(rng.integers(2))]
        found = base.filled(slot, operand, {})
        if operand == base.values[slot]:
            assert found is None
            continue
        a, b = (int({**base.values, slot: operand}[name]) for name in "ab")
        assert found.text == record.fields["template"].format(a=a, b=b)
        assert found.correct == f" {a + b}"
        assert found.incorrect == f" {a + b + record.fields['error']}"
        own = {name: found.fields[name] for name in ("a", "b", "answer", "final_answer", "error")}
        assert own == {"a": a, "b": b, "answer": a + b, "final_answer": str(a + b), "error": record.fields["error"]}
        check_pair(found)


def test_equal_operands_are_told_apart_by_the_template():
    fields = {"a": 34, "b": 34, "answer": 68, "template": "{a} + {b} =", "final_answer": "68"}
    record = pair("34 + 34 =", " 68", " 67", fields=fields)
    assert base_of(record, ["b"]).filled("b", "7", {}).text == "34 + 7 ="
    without = dataclasses.replace(record, fields={"a": 34, "b": 34})
    with pytest.raises(ValueError, match=r"slot 'b': its value '34' stands 2 times in '34 \+ 34 ='"):
        base_of(without, ["b"])


def test_a_sum_is_not_guessed_from_fields_of_that_name():
    record = pair("2 * 2 =", " 4", " 5", fields={"a": 2, "b": 2, "template": "{a} * {b} =", "answer": 4})
    assert base_of(record, ["b"]).filled("b", "7", {}) is None


def test_other_answers_are_those_of_the_prompt_that_differs_in_the_value_alone():
    def capital(country, city, wrong, opening="the"):
        fields = {"country": country, "opening": opening}
        return pair(f"{opening} capital of {country} is", f" {city}", f" {wrong}", id=country, fields=fields)

    bases = [base_of(record, ["country"]) for record in (
        capital("France", "Paris", "Rome"), capital("Italy", "Rome", "Paris"), capital("Spain", "Madrid", "Rome", "my"),
    )]  # fmt: skip
    known = known_prompts(bases)
    found = bases[0].filled("country", "Italy", known)
    assert (found.text, found.correct, found.incorrect) == ("the capital of Italy is", " Rome", " Paris")
    assert (found.fields["base"], found.fields["country"], found.id) == ("France", "Italy", "France/country=Italy")
    # "the capital of Spain" is not among them: nothing tells its answer.
    assert bases[0].filled("country", "Spain", known) is None


@pytest.mark.parametrize(("at", "expected"), [("", "so 3 and 4 make"), ("b", "3 and so 4 make")])
def test_a_word_is_put_where_it_is_to_be_and_the_answers_stay(at, expected):
    record = pair(
        "3 and 4 make", " 7", " 8", id="x", fields={"a": 3, "b": 4, "margin": 2.0}, roles={"sum": 2, "a": "3"}
    )
    base = base_of(record, insert="{word} ", at=at)
    found = base.filled(WORD, "so", {})
    assert found.text == expected
    assert found.answers == record.answers
    # What was said of the prompt as it stood does not go with it.
    assert "margin" not in found.fields
    assert found.roles == {"a": "3"}


@pytest.mark.parametrize("word", ["and", "AND", "seven"])
def test_a_word_that_the_prompt_or_an_answer_has_is_not_put_there(word):
    record = pair("3 and 4 make", " seven", " eight", fields={})
    assert base_of(record, insert="{word} ").filled(WORD, word, {}) is None
    assert base_of(record, insert="{word} ").filled(WORD, "an", {}) is not None


TEMPLATE = pair(
    "{word} has {a} apples and {b} pears:", " {a+b}", " {a - b}", id="t",
    fields={"slots": {"word": "Tom", "a": [3, 5, 8], "b": [1, 2]}, "final_answer": "{a+b}"},
)  # fmt: skip


def test_a_template_stands_for_all_combinations_of_its_values():
    bases = bases_of(TEMPLATE)
    assert len({base.record.text for base in bases}) == 6
    for base in bases:
        a, b = (int(base.values[name]) for name in "ab")
        assert base.record.text == f"Tom has {a} apples and {b} pears:"
        assert (base.record.correct, base.record.incorrect) == (f" {a + b}", f" {a - b}")
        assert base.record.fields["final_answer"] == str(a + b)
        told = base.filled(WORD, "Ann", {})
        assert told.text == f"Ann has {a} apples and {b} pears:"
        assert told.answers == base.record.answers
        other = base.filled("a", "9", {})
        assert (other.correct, other.incorrect, other.fields["final_answer"]) == (f" {9 + b}", f" {9 - b}", str(9 + b))


def test_of_a_large_template_some_are_drawn_the_same_ones_again():
    many = dataclasses.replace(TEMPLATE, fields={"slots": {"word": "Tom", "a": [*range(100, 200)], "b": [*range(90)]}})
    first = [base.record.text for base in bases_of(many, most=20, seed=3)]
    assert len(set(first)) == 20
    assert first == [base.record.text for base in bases_of(many, most=20, seed=3)]
    assert first != [base.record.text for base in bases_of(many, most=20, seed=4)]


def test_what_is_no_template_is_refused(refuses):
    def template(text="{a}", slots=None, right="{a}", wrong=" x"):
        slots = {"a": [1, 2]} if slots is None else slots
        return pair(text, right, wrong, id="t", fields={"slots": slots})

    with refuses("slot 'b': the prompt has it, the field slots has not"):
        bases_of(template("{a} {b}"), ["a"])
    with refuses("slot 'c': the prompt has no such slot"):
        bases_of(template("{a}", {"a": [1], "c": [2]}), ["a"])
    with refuses("slots: got 3; needs an object"):
        bases_of(template(slots=3), ["a"])
    with refuses("slot 'a': got \\[\\]; needs a list"):
        bases_of(template(slots={"a": []}), ["a"])
    with refuses("slot 'word': got 2 texts; needs one, the neutral word"):
        bases_of(template("{word} {a}", {"a": [1], "word": ["x", "y"]}), ["a"])
    with refuses("template: has no slot {word}"):
        bases_of(template())
    with refuses("slot 'b': the template has none; it has a"):
        bases_of(template(), ["b"])
    with refuses("a is 'x', which cannot be counted with"):
        bases_of(template(slots={"a": ["x"]}, right="{a+1}"), ["a"])
    with refuses("answers: both '1' where '1'; needs two that differ"):
        bases_of(template(wrong="{a}"), ["a"])
    with refuses("got {0}"):
        bases_of(template("{0}"), ["a"])


def test_prompts_without_the_slots_are_refused(refuses):
    record = pair("3 and 4 make", " 7", " 8", fields={"a": 3, "d": 9})
    with refuses("has no field 'z' for a slot; it has a, d"):
        base_of(record, ["z"])
    with refuses("slot 'd': its value '9' stands 0 times"):
        base_of(record, insert="{word} ", at="d")
    with refuses("has messages, into which no word is put"):
        base_of(dataclasses.replace(record, messages=({"role": "user", "content": "x"},)))
    with refuses("has token ids"):
        base_of(dataclasses.replace(record, tokens=(1, 2)))


def test_formulas_are_what_python_makes_of_them():
    rng = np.random.default_rng(0)
    for _ in range(200):
        values = {name: int(rng.integers(-99, 99)) for name in "abc"}
        bracketed = int(rng.integers(2))
        first, second = rng.choice(list("+-*"), 2)
        expression = f"{'(' * bracketed}a {first} b{')' * bracketed} {second} -c"
        assert written(f"<{{{expression}}}>", values) == f"<{eval(expression, {}, values)}>"
    assert written(" {name}.", {"name": "Tom"}) == " Tom."


@pytest.mark.parametrize("formula", ["{a/b}", "{a**b}", "{f(a)}", "{a.real}", "{d}", "{}", "{a+}", "{'x'}", "{True}"])
def test_what_is_no_sum_is_refused(formula, refuses):
    with refuses("needs names of slots and whole numbers, joined by"):
        written(formula, {"a": 3, "b": 2})


def test_answers_that_come_out_equal_leave_a_prompt_out():
    base = bases_of(TEMPLATE)[0]
    assert base.filled("b", "0", {}) is None
    assert base.record.answers == (Answer(" 4", "correct"), Answer(" 2", "incorrect"))
