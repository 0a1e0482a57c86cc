"""Prompts of behaviours: sizes, splits that share no group, right answers, the same bytes for the same seed."""

import re

import numpy as np
import pytest

from causeway.engine.analyses.prompts.answer_pieces import text_pieces, token_pieces
from causeway.engine.analyses.prompts.catalogue import BEHAVIOURS
from causeway.engine.analyses.prompts.deal import Sizes, deal
from causeway.engine.analyses.prompts.make import candidate_reader, make_prompts, split_candidates
from causeway.engine.analyses.prompts.own_prompts import from_record
from causeway.engine.analyses.prompts.prompt import Candidate, Wrong
from causeway.engine.analyses.prompts.sets import synthetic_logic
from causeway.engine.prompt_lines import record_line

SIZES = Sizes(80, 20)
# A complete list, as of the published study's two prompts, has no sizes to ask for.
DRAWN = {name: entry for name, entry in BEHAVIOURS.items() if not entry.sizes.at_most}
MADE = sorted(name for name, entry in DRAWN.items() if entry.candidates or name.startswith("bundled_"))
EVERY = [(name, "enlarged") for name in MADE] + [
    (name, "as_published") for name, entry in BEHAVIOURS.items() if entry.as_published
]


@pytest.fixture(scope="module")
def made():
    return {key: make_prompts(key[0], SIZES, 42, templates=key[1]) for key in EVERY}


@pytest.mark.parametrize("key", EVERY, ids="-".join)
def test_the_stated_items_are_distinct_and_no_group_is_in_both_splits(made, key):
    splits = made[key]
    assert {split: len(items) for split, items in splits.items()} == {"train": 80, "test": 20}
    items = [*splits["train"], *splits["test"]]
    assert len({(p.text, p.correct, p.incorrect) for p in items}) == 100
    assert len({p.id for p in items}) == 100
    assert not {p.group for p in splits["train"]} & {p.group for p in splits["test"]}
    assert not {p.text for p in splits["train"]} & {p.text for p in splits["test"]}
    for item in items:
        assert item.correct != item.incorrect
        assert item.text == item.text.rstrip(" ")
        assert item.behaviour == key[0]
        assert item.id.startswith(f"{key[0]}_{item.split}_")


@pytest.mark.parametrize("key", EVERY, ids="-".join)
def test_a_seed_gives_the_same_items_and_another_seed_others(made, key):
    again = make_prompts(key[0], SIZES, 42, templates=key[1])
    assert again == made[key]
    assert make_prompts(key[0], SIZES, 43, templates=key[1]) != made[key]


def test_counterfactual_prompts_stay_in_their_split(made):
    for splits in made.values():
        texts = {split: {p.fields.get("counterfactual_prompt") for p in items} for split, items in splits.items()}
        assert not (texts["train"] & texts["test"]) - {None}
        assert not texts["train"] & {p.text for p in splits["test"]}


def test_classes_come_equally_often(made):
    for name, field in (("grammar_agreement", "number"), ("sentiment_continuation", "sentiment")):
        for items in made[name, "enlarged"].values():
            _, counts = np.unique([p.fields[field] for p in items], return_counts=True)
            assert counts[0] == counts[1]
    answers = [p.correct for p in made["synthetic_logic", "enlarged"]["train"]]
    assert answers.count(" true") == answers.count(" false") == 40


def test_sums_are_right(made):
    for key in (("arithmetic", "enlarged"), ("arithmetic", "as_published")):
        for item in [p for items in made[key].values() for p in items]:
            a, b = (int(n) for n in re.findall(r"\d+", item.text))
            assert (a, b) == (item.fields["a"], item.fields["b"])
            assert int(item.correct) == a + b == int(item.fields["final_answer"])
            assert int(item.incorrect) - int(item.correct) == item.fields["error"]
            assert abs(item.fields["error"]) in (1, 9, 10)


def test_large_sets_and_their_answers():
    sizes = Sizes(1500, 150)
    arithmetic = make_prompts("synthetic_arithmetic", sizes, 1)
    for item in [p for items in arithmetic.values() for p in items]:
        assert item.text == f"{item.fields['expression']} ="
        assert int(item.correct) == eval(item.fields["expression"]) != int(item.incorrect)
    logic = make_prompts("synthetic_logic", sizes, 1)
    for item in [p for items in logic.values() for p in items]:
        given = dict(re.findall(r"([A-Z]) is (true|false)\.", item.text))
        statement = item.text.split("The statement ")[1].removesuffix(" is")
        truth = eval(statement, {name: value == "true" for name, value in given.items()})
        assert item.correct == f" {str(truth).lower()}"
        other = item.fields.get("counterfactual_prompt")
        if other:
            turned = dict(re.findall(r"([A-Z]) is (true|false)\.", other))
            assert sum(turned[name] != given[name] for name in given) == 1
            assert eval(statement, {name: value == "true" for name, value in turned.items()}) != truth


def test_expressions_are_not_programs(refuses):
    with refuses("needs and, or, not"):
        synthetic_logic.evaluate("A and exit", {"A": True})


def test_answers_of_equal_length_are_preferred():
    wrong = (Wrong(" Addis Ababa"), Wrong(" Rome"))
    items = deal("b", [Candidate("p", " Paris", wrong, "g")], Sizes(1, 0), np.random.default_rng(0))["train"]
    assert items[0].incorrect == " Rome"
    # An item whose answers differ in length comes after all the others, whatever its group and class.
    odd = Candidate("odd", " Paris", (Wrong(" New York"),), "odd", "class")
    even = [Candidate(f"p{i}", " Paris", (Wrong(" Rome"),), "g") for i in range(5)]
    items = deal("b", [odd, *even], Sizes(6, 0), np.random.default_rng(0))["train"]
    assert [item.text for item in items].index("odd") == 5
    for name in ("factual_recall", "arithmetic"):
        for item in make_prompts(name, SIZES, 3)["train"]:
            assert len(text_pieces(item.text, item.correct)) == len(text_pieces(item.text, item.incorrect))


def test_a_tokenizer_that_cannot_tell_answers_apart_gets_others(refuses):
    class Letters:
        def encode(self, text, unknown=False):
            return [ord(word[0]) for word in text.split()]

    candidate = Candidate("p", " apple", (Wrong(" avocado"), Wrong(" banana")), "g")
    rng = np.random.default_rng(0)
    assert deal("b", [candidate], Sizes(1, 0), rng, token_pieces(Letters()))["train"][0].incorrect == " banana"
    lost = Candidate("p", " apple", (Wrong(" avocado"),), "g")
    with refuses("1 more have no wrong answer that the tokenizer tells apart"):
        deal("b", [lost], Sizes(1, 0), rng, token_pieces(Letters()))


def test_a_tokenizers_pieces_are_those_behind_the_prompt():
    class Prefixed:
        """A piece a letter, with one more at the beginning of a text."""

        def encode(self, text, unknown=False):
            return [0, *map(ord, text)]

    pieces = token_pieces(Prefixed())
    assert pieces("The capital is", " Rome") == tuple(map(ord, " Rome"))
    assert pieces("2+2=", "4") == (ord("4"),)


def test_too_few_items_are_one_error_with_the_number_there_is(refuses):
    with refuses(r"factual_recall: 5000 train and 500 test items asked for.* there are \d+ and \d+ distinct"):
        make_prompts("factual_recall", Sizes(5000, 500), 42)
    with refuses("needs counts"):
        Sizes(0, 0)
    with refuses("comes from a file"):
        make_prompts("gsm8k", SIZES, 42)
    with refuses("no templates of the document"):
        make_prompts("indirect_objects", SIZES, 42, templates="as_published")
    with refuses("needs one of grammar_agreement"):
        make_prompts("nothing", SIZES, 42)


def test_one_split_may_be_empty():
    assert make_prompts("grammar_agreement", Sizes(10, 0), 1)["test"] == []
    assert len(make_prompts("grammar_agreement", Sizes(0, 10), 1)["test"]) == 10


@pytest.mark.parametrize(
    ("train", "test", "sizes"),
    [(None, None, (8, 2)), (None, 0, (10, 0)), (3, None, (3, 7)), (None, 4, (6, 4)), (5, 5, (5, 5))],
)
def test_a_file_is_taken_whole_where_its_sizes_are_not_said(train, test, sizes):
    record = {"correct_answer": " a", "incorrect_answer": " b"}
    candidates = [from_record(record | {"prompt": f"p{i}", "group": f"g{i}"}) for i in range(10)]
    splits = split_candidates("mine", candidates, [], Sizes.of_all(10, train, test), 42)
    assert (len(splits["train"]), len(splits["test"])) == sizes


def test_sizes_that_are_said_are_met_or_refused(refuses):
    record = {"correct_answer": " a", "incorrect_answer": " b"}
    candidates = [from_record(record | {"prompt": f"p{i}", "group": f"g{i}"}) for i in range(4)]
    for train, test in ((None, 9), (9, None), (3, 3)):
        with refuses("ask for fewer"):
            split_candidates("mine", candidates, [], Sizes.of_all(4, train, test), 42)


def test_prompts_of_ones_own_keep_their_fields_and_groups():
    records = [
        {"prompt": f"p{i}", "correct_answer": " a", "incorrect_answer": " b", "group": f"g{i // 2}", "note": i}
        for i in range(20)
    ]
    candidates = [from_record(record) for record in [*records, records[0]]]
    splits = split_candidates("mine", candidates, [], Sizes(12, 4), 42)
    assert not {p.group for p in splits["train"]} & {p.group for p in splits["test"]}
    line = record_line(splits["train"][0])
    assert list(line)[:3] == ["prompt", "correct_answer", "incorrect_answer"]
    assert records[line["note"]]["prompt"] == line["prompt"]
    # A test file of its own: what is in it leaves the training set.
    given = split_candidates("mine", candidates, candidates[:4], Sizes(16, 4), 42)
    assert {p.group for p in given["test"]} == {"g0", "g1"}


def test_what_a_record_does_not_say_or_says_as_null_is_not_a_name():
    record = {"prompt": "p", "correct_answer": " a", "incorrect_answer": " b", "note": 1}
    null = {**record, "behaviour": None, "split": None, "id": None, "group": None}
    assert from_record(null) == from_record(record)
    assert (from_record(null).group, from_record(null).fields) == ("p", {"note": 1})
    # Dealt items are numbered anew.
    assert from_record({**record, "id": 7}).fields == {"source_id": "7", "note": 1}


def test_records_whose_answers_never_diverge_are_refused(refuses):
    record = {"prompt": "p", "correct_answer": " is", "incorrect_answer": " is not"}
    with refuses("answers ' is' and ' is not': never diverge"):
        candidate_reader("own")(record)
    with refuses("never diverge"):
        candidate_reader("own", lambda prompt, answer: (0,))({**record, "incorrect_answer": " are"})
    pair = {"clean_prefix": "The cat", "patch_prefix": "The cats", "clean_answer": " is", "patch_answer": " is"}
    with refuses("never diverge"):
        candidate_reader("agreement_attractors")(pair)


@pytest.mark.parametrize("number", ["1" + 30 * "0" + "1", "2.0", "-12", "1,234"])
def test_problems_with_large_and_negative_numbers(number, refuses):
    candidate = candidate_reader("gsm8k")({"question": "q", "answer": f"so #### {number}"})
    right = int(number.replace(",", "").removesuffix(".0"))
    assert (candidate.correct, candidate.wrong[0].text) == (f" {right}", f" {right + 1}")
    with refuses("needs a final whole number"):
        candidate_reader("gsm8k")({"question": "q", "answer": "#### 2.5"})
