"""Words that make a model err: planted ones are found and confirmed, others are not, and held-out prompts say nothing
of which. The model here is a function of the prompt's words, so that what is true is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from causeway.engine.analyses.adversarial.adversarial import Wanted, adversarial_prompts
from causeway.engine.analyses.adversarial.bases import WORD, base_of
from causeway.engine.analyses.adversarial.judge import ALPHA, judged
from causeway.engine.analyses.adversarial.search import over_groups
from causeway.engine.analyses.adversarial.words import given_words, is_word, word_weights
from causeway.engine.prompt_record import pair
from causeway.engine.tokenized_prompt import TokenizedPrompt

LETTERS = "abcdefghij"
LEXICON = [x + y + "o" for x in LETTERS for y in LETTERS]


def make(record):
    """Tokens: a number for each word."""
    ids = tuple(int.from_bytes(word.encode(), "big") for word in record.text.split())
    return TokenizedPrompt(record, ids, ((1,), (2,)))


class Toy:
    """A model whose margin is what it knows of a prompt, and what each word does to it, with noise of their pair."""

    name, directions = "answers", None

    def __init__(self, effects, noise=0.3, seed=0):
        self.effects, self.noise, self.seed = effects, noise, seed

    def margins(self, prompts, name):
        return np.array([self._margin(prompt) for prompt in prompts])

    projections = margins

    def _margin(self, prompt):
        *words, question = prompt.record.text.split()
        known = np.random.default_rng([self.seed, *question.encode()]).uniform(0.5, 1.5)
        own = np.random.default_rng([self.seed, *prompt.record.text.encode()]).standard_normal()
        return known + sum(self.effects.get(word, 0.0) for word in words) + self.noise * own * bool(words)


def bases(count, prefix="q"):
    return [base_of(pair(f"{prefix}{i}", " yes", " no", id=f"{prefix}{i}"), insert="{word} ") for i in range(count)]


def wanted(words, **changes):
    return Wanted(**({"weights": given_words(words), "slots": (WORD,), "lexicon": LEXICON, "keep": 1} | changes))


def run(toy, words, held=None, **changes):
    return adversarial_prompts(toy, bases(20), held or bases(30, "h"), wanted(words, **changes), make)


def test_a_planted_word_is_found_and_confirmed_on_held_out_prompts():
    found = run(Toy({"aco": -2.0}), ["ado", "aco", "beo", "bco"])
    assert [f.word for f in found.search.arms["adversarial"]] == ["aco"]
    assert found.judged.confirmed
    rates = {row["arm"]: row["error_rate"] for row in found.judged.arms}
    assert rates["adversarial"] > 0.9
    assert rates["clean"] == 0
    assert rates["random"] < 0.2
    rows = {row["word"]: row for row in found.words.to_pylist()}
    assert rows["aco"]["margin_change"] == pytest.approx(-2, abs=0.3)
    assert rows["aco"]["low"] < -2 + 0.1 < rows["aco"]["high"] + 0.3
    assert rows["aco"]["push"] == pytest.approx(-2, abs=0.3)
    assert "these words make it err" in " ".join(found.lines())


def test_words_of_no_effect_are_not_confirmed():
    assert not any(
        run(Toy({}, noise=0.8, seed=seed), ["ado", "aco", "beo", "bco"]).judged.confirmed for seed in range(20)
    )


def test_a_word_that_every_other_word_equals_is_not_confirmed():
    """Anything put before the question breaks the model: that is no merit of the words that were chosen."""
    everything = dict.fromkeys(LEXICON, -1.0)
    found = run(Toy(everything), ["ado", "aco", "beo"])
    rates = {row["arm"]: row["error_rate"] for row in found.judged.arms}
    assert rates["adversarial"] > 0.2
    assert not found.judged.confirmed


def test_nothing_of_held_out_prompts_has_a_say_in_the_words():
    toy = Toy({"aco": -1.0, "beo": 0.5}, noise=0.6)
    words = {"ado": -1.0, "aco": -0.5, "beo": 2.0, "bco": -0.1, "cco": 0.3}
    first, other = (run(toy, words, bases(count, prefix), keep=2) for count, prefix in ((30, "h"), (17, "other")))
    assert first.search.arms == other.search.arms
    assert first.search.push == other.search.push
    assert first.judged.arms != other.judged.arms


def test_words_of_the_right_weight_are_the_other_arm_and_random_ones_are_none_of_them():
    words = {"ado": -1.0, "aco": -0.5, "beo": 2.0, "bco": 0.1}
    found = run(Toy({"beo": 1.0}), words)
    assert [f.word for f in found.search.arms["opposite"]] == ["beo"]
    drawn = {f.word for f in found.search.pools.random}
    assert len(drawn) == 2
    assert not drawn & words.keys()


def test_records_carry_what_was_measured():
    found = run(Toy({"aco": -2.0}), ["aco", "ado"])
    records = found.prompts
    assert {record.behaviour for record in records} == {"clean", "adversarial", "random", "opposite"}
    before = {r.id: r.fields["margin"] for r in records if r.behaviour == "clean"}
    for record in records:
        assert record.fields["correct"] == (record.fields["margin"] > 0)
        if record.behaviour != "clean":
            change = record.fields["margin"] - before[record.fields["base"]]
            assert record.fields["margin_change"] == pytest.approx(change)
            assert record.fields["projection_change"] == pytest.approx(change)
            assert record.text.startswith(record.fields["word"])


def placed(names, kept, before=""):
    """Prompts "x in y" with x as a slot."""
    records = [
        pair(f"{before}{x} in {y}", " yes", " no", id=f"{x}{y}", fields={"x": x, "template": f"{before}{{x}} in {y}"})
        for x in names for y in kept
    ]  # fmt: skip
    return [base_of(record, ["x"]) for record in records]


def test_a_held_out_prompt_that_a_choosing_one_was_filled_into_is_left_out():
    choosing, held = placed("abc", ["one", "two"]), [*placed("abc", ["three"]), *placed("abd", ["two"])]
    held = [base for base in held if base.record.text not in ("a in two", "b in two")]
    found = adversarial_prompts(Toy({}), choosing, held, wanted(["a"], slots=("x",)), make)
    # "d in two" would become "a in two", which chose.
    assert [r.text for r in found.prompts if r.behaviour == "adversarial"] == ["a in three"]


def test_equal_prompts_of_an_arm_count_once():
    """Both "b in one" and "c in one" become "a in one"."""
    found = adversarial_prompts(
        Toy({}), placed("abc", ["one", "two"], "now "), placed("abc", ["one", "two"]), wanted(["a"], slots=("x",)), make
    )
    assert [r.text for r in found.prompts if r.behaviour == "adversarial"] == ["a in one", "a in two"]


@pytest.mark.slow
@pytest.mark.parametrize("words", [1, 3])
@pytest.mark.parametrize("shift", [0.0, -1.5])
def test_null_words_are_confirmed_no_more_often_than_they_may_be(words, shift):
    """Any word makes the model err, chosen ones no more than random ones: of 400 sets at most as many as alpha lets."""
    rng, confirmed = np.random.default_rng(0), 0
    for _ in range(400):
        own = rng.standard_normal(40)
        arms = {name: own + shift + rng.standard_normal((words, 40)) for name in ("adversarial", "random", "opposite")}
        confirmed += judged({"clean": own[None] + 3, **arms}, [str(i) for i in range(40)]).confirmed
    assert confirmed <= 400 * ALPHA


def test_rates_are_plain_shares_and_groups_count_once():
    margins = {"clean": np.array([[1.0, 2, -1, 3]]), "adversarial": np.array([[-1.0, -1, -1, 1], [-1, 1, np.nan, 1]]),
               "random": np.ones((1, 4))}  # fmt: skip
    found = judged(margins, ["a", "a", "b", "c"])
    rates = {row["arm"]: row["error_rate"] for row in found.arms}
    assert rates == {"clean": pytest.approx(1 / 3), "adversarial": pytest.approx((0.75 + 1 + 0) / 3), "random": 0}
    assert not found.confirmed
    assert "3 prompts are too few" in " ".join(found.verdict)


def test_means_of_groups():
    values = np.array([[1.0, np.nan, 5.0, np.nan]])
    np.testing.assert_array_equal(over_groups(values, ["b", "a", "b", "a"]), [[np.nan, 3.0]])


def test_a_word_weighs_the_sum_of_its_neurons_coefficients_times_their_scores():
    entries = {1: {5: [(0, 0.5, " river"), (1, -2.0, "win")], 6: [(1, 1.0, " win")]}, 2: {5: [(2, 3.0, " ")]}}
    scores = {(1, 5): 2.0, (1, 6): -1.0, (2, 5): 4.0, (3, 3): 9.0}
    assert word_weights(entries, scores) == {"win": -5.0, "river": 1.0}
    assert list(word_weights(entries, scores)) == ["win", "river"]


def test_words_and_neurons_that_cannot_be_used_are_refused(refuses):
    with refuses("neurons: none of 1 \\(such as 0:1\\) has a decomposition, which there are of layers 1"):
        word_weights({1: {5: [(0, 1.0, "x")]}}, {(0, 1): 1.0})
    for words in ("aco", [], [""], [3]):
        with refuses("words: got"):
            given_words(words)
    with refuses("words: 'a' comes 2 times"):
        given_words(["a", " a"])
    with refuses("words: weight of 'a'"):
        given_words({"a": "x"})
    with refuses("words: '7' can be put into none of 20 prompts: it is not made of letters"):
        run(Toy({}), ["7"])
    with refuses("words: 'yes' can be put into none of 20 prompts: every prompt, or an answer to it, has it"):
        run(Toy({}), ["yes"])
    with refuses("words: none pushes the wrong way; needs words of weight below 0|can be put into none"):
        run(Toy({}), {"aco": 1.0})
    with refuses("lexicon: has no word to compare 'aco' with"):
        run(Toy({}), ["aco"], lexicon=["aco", "7"])


def test_prompts_that_are_wrong_already_are_refused(refuses):
    toy = SimpleNamespace(name="answers", directions=None, margins=lambda prompts, name: -np.ones(len(prompts)))
    with refuses("none of the 20 that choose is answered rightly as it stands"):
        run(toy, ["aco"])

    def margins(prompts, name):
        return np.array([-1.0 if "h" in p.record.text.split()[-1] else 1.0 for p in prompts])

    toy = SimpleNamespace(name="answers", directions=None, margins=margins, projections=margins)
    with refuses("none of the 30 held out is answered rightly as it stands"):
        run(toy, ["aco"])
    with refuses("q0 has the prompt and answers of q0; each counts once"):
        run(Toy({}), ["aco"], bases(3))


@pytest.mark.parametrize("text", ["word", "two words", "co-sine", "don't", "Łódź"])
def test_words_are_made_of_letters(text):
    assert is_word(text)


@pytest.mark.parametrize("text", ["7", "x2", "+", "", "a  b", "a_b", " a"])
def test_numbers_and_signs_are_no_words(text):
    assert not is_word(text)
