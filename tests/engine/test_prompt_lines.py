"""One record of a prompt: what a line says, in every spelling, and what is refused."""

import json

import pytest

from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_lines import parse_answers, parse_record, record_line
from causeway.engine.prompt_record import PromptRecord, check_group, check_pair, pair

USER = {"role": "user", "content": "p"}
PAIR = {"prompt": "p", "correct_answer": " a", "incorrect_answer": " b"}


def test_one_line_serves_every_command():
    line = {"text": "p", "answers": [{"text": " a", "label": "correct"}, {"text": " b", "label": "incorrect"}]}
    assert parse_record(PAIR) == parse_record(line) == pair("p", " a", " b")
    assert parse_record(PAIR | {"text": "p", "group": 3}).group == "3"
    check_pair(parse_record(line))
    check_group(parse_record({"text": "p", "group": 0}))
    assert parse_record({"text": "p", "won": True, "group": "x"}, "won").group == "True"
    assert parse_record(dict.fromkeys(["behaviour", "split", "id", "group", "tokens", "answers"]) | {"text": "p"}) == (
        PromptRecord("p")
    )


@pytest.mark.parametrize("record", [
    pair("p", " a", " b"),
    pair("p", " a", " b", "b", "train", id="b_0", group="g", counterfactual="q", roles={"verb": -1}, fields={"n": ""}),
    PromptRecord("p", (Answer(" a", "x", 5), Answer(" b", "y", 0.5)), group="g", fields={"strata": {"round": 1}}),
    PromptRecord("", tokens=(3, 4)), PromptRecord("p", tokens=(3, 4)), PromptRecord("", messages=(USER,)),
    pair("p", " a", " b", tokens=(3, 4), messages=(USER,), counterfactual=(5, 6)),
])  # fmt: skip
def test_a_record_is_read_as_it_was_written(record):
    assert parse_record(json.loads(json.dumps(record_line(record)))) == record


def test_what_is_run_and_what_is_a_cluster():
    assert parse_record({"prompt": "p", "tokens": [1]}).content == [1]
    assert parse_record({"prompt": "p"}).content == parse_record({"prompt": "p"}).cluster == "p"


@pytest.mark.parametrize(("line", "message"), [
    ({"prompt": ""}, "has neither a text"),
    ({"group": "a"}, "has neither a text"),
    ({"text": 5}, "field text: got 5; needs a text"),
    ({"prompt": "a", "text": "b"}, "prompt, text: got two that differ"),
    ({"messages": "p"}, "messages: got 'p'; needs a list of objects"),
    ({"messages": [USER, {"role": "robot", "content": "p"}]}, "number 1 has the role 'robot'; needs one of system"),
    ({"text": "p", "messages": [USER]}, "messages: got text or tokens beside them"),
    ({"tokens": [1], "messages": [USER]}, "messages: got text or tokens beside them"),
    ({"prompt": "a", "counterfactual_prompt": [1, "x"]}, "field counterfactual_prompt is .*; needs a list"),
    ({"tokens": []}, r"field tokens is \[\]; needs a list"),
    ({"tokens": [1.5]}, r"field tokens is \[1\.5\]; needs a list of token ids"),
    ({"prompt": "a", "behaviour": "../x"}, "field behaviour: got '../x'; needs letters"),
    ({"prompt": "a", "behaviour": ["x"]}, "field behaviour is"),
    ({"prompt": "a", "id": {"x": 1}}, "field id is"),
    ({"prompt": "a", "group": ["x"]}, "field group is"),
    ({"prompt": "a", "roles": {"verb": 1.5}}, "roles: got .*; needs an object of names"),
    ({"prompt": "a", "counterfactual_prompt": 3}, "field counterfactual_prompt: got 3"),
    ({"prompt": "a", "correct_answer": " b"}, "has no field incorrect_answer; it has correct_answer, prompt"),
    (PAIR | {"correct_answer": 3}, "field correct_answer: got 3; needs a text that is not empty"),
    (PAIR | {"answers": [{"text": "x", "label": "y"}]}, "answers, correct_answer: got both"),
    ({"prompt": "a", "answers": []}, "answers: got list; needs a list of"),
    ({"prompt": "a", "answers": [{"text": "x"}]}, "answers: got .* each answer has text, label"),
    ({"prompt": "a", "answers": [{"text": "x", "label": "y", "amount": "5"}]}, "amount: got '5'; needs a finite"),
    ({"prompt": "a", "answers": [{"text": "x", "label": [1]}]}, r"field label is \[1\]"),
])  # fmt: skip
def test_malformed_lines_are_refused_in_one_line(line, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_record(line)
    assert "\n" not in str(caught.value)


def test_what_a_command_needs_is_checked():
    for line, message in (
        ({"prompt": "p"}, "answers: got none; needs correct_answer and incorrect_answer"),
        ({"prompt": "p", "answers": [{"text": " a", "label": "yes"}]}, "answers: got yes; needs correct_answer"),
        (PAIR | {"incorrect_answer": " a"}, "both ' a'; needs two that differ"),
    ):
        with pytest.raises(ValueError, match=message):
            check_pair(parse_record(line))
    with pytest.raises(ValueError, match="has no label"):
        check_group(parse_record(PAIR))


def test_large_amounts_are_what_a_float_makes_of_them():
    (answer,) = parse_answers([{"text": " a", "label": "x", "amount": 2**60 + 1}])
    assert answer.amount == float(2**60)
