"""Every task: splits do not overlap, draws are functions of their keys, texts tokenise in parts as in whole."""

import numpy as np
import pytest

from causeway.engine.tasks import addition, agreement, capitals, sentiment, suite
from causeway.engine.tasks.example import SPLITS, draw_until, split_of
from causeway.ports.models.word_tokenizer import build_word_tokenizer

TASKS = tuple(suite.TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_splits_do_not_overlap(task):
    train = {example.prompt for example in suite.draw(task, "train", 2000, seed=0)}
    assert not train & {example.prompt for example in suite.draw(task, "held_out", 2000, seed=1)}


@pytest.mark.parametrize("task", TASKS)
def test_a_draw_is_a_function_of_its_key(task):
    assert suite.draw(task, "train", 20, seed=3) == suite.draw(task, "train", 30, seed=3)[:20]
    assert suite.draw(task, "train", 20, seed=3) != suite.draw(task, "train", 20, seed=4)


@pytest.mark.parametrize("task", TASKS)
def test_wrong_answers_are_wrong_and_prompts_end_where_answers_begin(task):
    for example in suite.draw(task, "train", 200, seed=0):
        assert example.wrong
        assert example.answer not in example.wrong
        assert example.prompt == example.prompt.strip()


@pytest.mark.parametrize("task", TASKS)
def test_a_prompt_has_one_answer(task):
    answers = {}
    for split in SPLITS:
        for example in suite.draw(task, split, 1000, seed=0):
            assert answers.setdefault(example.prompt, example.answer) == example.answer


def test_the_tokens_of_the_parts_are_the_tokens_of_the_whole():
    examples = [example for task in TASKS for split in SPLITS for example in suite.draw(task, split, 200, seed=0)]
    tokenizer = build_word_tokenizer(suite.texts("train", 5000, seed=0), 512)
    for example in examples:
        whole = tokenizer.encode(example.prompt + example.answer, add_special_tokens=False)
        parts = [tokenizer.encode(part, add_special_tokens=False).ids for part in (example.prompt, example.answer)]
        assert whole.ids == parts[0] + parts[1]
        assert len(whole.ids) <= 62
        assert tokenizer.decode(whole.ids) == example.prompt + example.answer


def test_no_answer_begins_another_of_its_task():
    tokenizer = build_word_tokenizer(suite.texts("train", 5000, seed=0), 512)
    for task in TASKS:
        answers = {example.answer for example in suite.draw(task, "train", 2000, seed=0)}
        ids = [tokenizer.encode(answer, add_special_tokens=False).ids for answer in answers]
        assert not any(a != b and b[: len(a)] == a for a in ids for b in ids)


def test_held_out_phrasings_use_known_words_only():
    known = {word for phrasing in capitals.PHRASINGS["train"] for word in phrasing.replace("{}", "").split()}
    for phrasing in capitals.PHRASINGS["held_out"]:
        assert set(phrasing.replace("{}", "").split()) <= known


def test_both_orders_of_an_addition_are_in_one_split():
    prompts = {split: {e.prompt for e in suite.draw("addition", split, 3000, seed=0)} for split in SPLITS}
    for split, other in zip(SPLITS, reversed(SPLITS), strict=True):
        for prompt in prompts[split]:
            left, right = prompt.rstrip("=").split("+")
            assert f"{right}+{left}=" not in prompts[other]


def test_addition_adds():
    assert addition.example_of(57, 68).answer == "125."
    assert addition.example_of(57, 68).wrong == ("115.", "124.", "126.")


def test_the_verb_agrees_with_the_first_noun():
    plurals = {plural for _, plural in agreement.NOUNS}
    for example in suite.draw("agreement", "train", 300, seed=0):
        opening, _, noun, *_ = example.prompt.split()
        assert example.answer == f" {agreement.VERBS[opening][noun in plurals]}"


def test_the_last_clause_decides_the_sentiment():
    for example in suite.draw("sentiment", "train", 300, seed=0):
        last = next(part for part in reversed(example.prompt.split(".")) if " was " in part).split(" but ")[-1]
        good = (last.split()[-1] in sentiment.ADJECTIVES[True]) != (" not " in last)
        assert (example.answer.strip() in {"happy", "good", "again"}) == good


def test_mixtures_follow_their_shares():
    examples = suite.mixture({"addition": 3.0, "capitals": 1.0}, "train", 2000, np.random.default_rng(0))
    assert 0.7 < np.mean([example.task == "addition" for example in examples]) < 0.8


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="needs one of"):
        suite.draw("poetry", "train", 1, seed=0)
    with pytest.raises(ValueError, match="split"):
        suite.draw("addition", "test", 1, seed=0)
    with pytest.raises(ValueError, match="positive sum"):
        suite.mixture({"addition": 0.0}, "train", 1, np.random.default_rng(0))


def test_the_split_depends_on_the_key_alone_and_keeps_its_share():
    assert split_of("12+34") == split_of("12+34")
    assert 0.08 < np.mean([split_of(str(i)) == "held_out" for i in range(5000)]) < 0.12
    with pytest.raises(ValueError, match="no held_out item"):
        draw_until(lambda: ("x", addition.example_of(10, 10)), "held_out", held_out_percent=0)
