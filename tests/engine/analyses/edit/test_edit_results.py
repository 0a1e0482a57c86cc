"""Choosing, estimating and pricing edits, on values made up."""

import dataclasses

import numpy as np
import pytest

from causeway.engine.analyses.edit.edit_results import EditResults, verdict_of
from causeway.engine.analyses.edit.edit_sweep import EditSweep, Items, Values
from causeway.engine.analyses.edit.settings import settings_of
from causeway.engine.choosing import divided
from causeway.engine.neurons import Neurons
from causeway.engine.prompt_record import pair
from causeway.engine.stats.multiple import adjust
from causeway.engine.stats.paired import paired_mean
from causeway.engine.tokenized_prompt import TokenizedPrompt

SETTINGS = settings_of(Neurons([0, 0, 1], [1, 2, 3]), (0, 2))
SETS = ("choosing",) * 20 + ("held_out",) * 24 + ("unrelated",) * 12 + ("unrelated_text",) * 11


def results(seed=0, sets=SETS, **changes):
    draw = np.random.default_rng(seed)
    clean = draw.standard_normal(len(sets))
    values = Values(clean, clean + 0.3 * draw.standard_normal((len(SETTINGS), len(sets))))
    sweep = EditSweep(None, (), (), sets, tuple(SETTINGS), 16, None)
    return EditResults(sweep, dataclasses.replace(values, **changes))


def own(name):
    return np.array(SETS) == name


def test_a_row_is_the_paired_mean_of_its_set():
    found = results()
    table = found.table().to_pylist()
    assert len(table) == 4 * len(SETTINGS)
    for name in dict.fromkeys(SETS):
        rows = [row for row in table if row["set"] == name]
        changes = found.values.edited[:, own(name)] - found.values.clean[own(name)]
        plain = paired_mean(changes)
        np.testing.assert_array_equal([row["effect"] for row in rows], plain.effect)
        np.testing.assert_allclose([row["effect"] for row in rows], changes.mean(axis=1), atol=1e-12)
        np.testing.assert_array_equal([row["q"] for row in rows], adjust(plain.p).q)
        if name == "unrelated_text":
            assert {(row["outcome"], row["accuracy_before"]) for row in rows} == {("loss", None)}
        else:
            assert rows[3]["accuracy_after"] == (found.values.edited[3, own(name)] > 0).mean()
            assert rows[3]["accuracy_before"] == (found.values.clean[own(name)] > 0).mean()


def test_the_setting_of_the_largest_effect_on_choosing_prompts_is_chosen():
    found = results()
    effects = (found.values.edited - found.values.clean)[:, own("choosing")].mean(axis=1)
    assert found.chosen == effects.argmax()
    summary = found.summary()
    assert summary["chosen"]["neurons"] == SETTINGS[found.chosen].names
    assert summary["sets"]["choosing"]["effect"] == pytest.approx(effects.max())
    assert [(e.layer, e.unit, e.value) for e in found.edits] == [
        (int(n.split(":")[0]), int(n.split(":")[1]), k)
        for n, k in zip(SETTINGS[found.chosen].names, SETTINGS[found.chosen].factors, strict=True)
    ]


@pytest.mark.parametrize("name", ["held_out", "unrelated", "unrelated_text"])
def test_no_other_prompt_has_a_say_in_the_choice(name):
    first = results()
    edited = first.values.edited.copy()
    edited[:, own(name)] = 50 * np.random.default_rng(9).standard_normal((len(SETTINGS), own(name).sum()))
    again = results(edited=edited)
    assert again.chosen == first.chosen
    assert again.summary()["chosen"] == first.summary()["chosen"]
    assert again.summary()["sets"]["choosing"] == first.summary()["sets"]["choosing"]


def test_chosen_on_noise_the_held_out_interval_holds_nothing_where_the_choosing_one_does_not():
    """The winner's curse: of 64 settings without an effect the best looks good on the prompts that chose it."""
    settings = settings_of(Neurons(np.zeros(32, int), np.arange(32)), (0, 2), [])
    sets, chose, held = ("choosing",) * 40 + ("held_out",) * 40, 0, 0
    for seed in range(60):
        edited = np.random.default_rng(seed).standard_normal((len(settings), 80))
        sweep = EditSweep(None, (), (), sets, tuple(settings), 16, None)
        rows = EditResults(sweep, Values(np.zeros(80), edited)).summary()["sets"]
        chose += rows["choosing"]["low"] <= 0
        held += rows["held_out"]["low"] <= 0 <= rows["held_out"]["high"]
    assert chose < 30
    assert held > 50


def judged(effect, low, high, outcome="log_odds", prompts=20, distinct=20):
    return {"effect": effect, "low": low, "high": high, "outcome": outcome, "prompts": prompts, "distinct": distinct}


def test_verdicts():
    good, bad, none = judged(1, 0.5, 1.5), judged(-1, -1.5, -0.5), judged(0.1, -0.2, 0.4)
    few, text = judged(1, None, None, prompts=4, distinct=4), judged(0.2, 0.1, 0.3, "loss")
    assert verdict_of({"choosing": good, "held_out": good}) == [
        "held out: better: +1.000 nats in [+0.500, +1.500]",
        "the price is not known: no unrelated prompts or texts were given",
    ]
    assert verdict_of({"choosing": good, "held_out": bad, "unrelated": bad, "unrelated_text": text}) == [
        "held out: worse: -1.000 nats in [-1.500, -0.500]",
        "unrelated: worse, the price: -1.000 nats in [-1.500, -0.500]",
        "unrelated text: worse, the price: +0.200 nats a token in [+0.100, +0.300]",
    ]
    found = verdict_of({"choosing": good, "held_out": few, "unrelated": none})
    assert "cannot tell: 4 prompts are too few" in found[0]
    assert "cannot be told from nothing: +0.100 nats in [-0.200, +0.400]" in found[1]
    assert "no setting raises the log odds" in verdict_of({"choosing": bad, "held_out": good})[0]


def records(count=20, **changes):
    return [pair(f"p{i}", " a", " b", group=f"g{i // 2}", split="train" if i % 4 else "test", **changes)
            for i in range(count)]  # fmt: skip


def test_groups_stay_on_one_side_of_the_division():
    chosen = divided(records(), 0.4)
    assert (chosen[::2] == chosen[1::2]).all()
    assert chosen.sum() == 12
    np.testing.assert_array_equal(divided(records()[::-1], 0.4), chosen[::-1])
    assert (divided(records(), 0.4, seed=1) != chosen).any()


def test_a_split_of_the_records_can_choose():
    np.testing.assert_array_equal(divided(records(), 0.5, "train"), [i % 4 > 0 for i in range(20)])


def test_divisions_with_an_empty_side_are_refused(refuses):
    with refuses("choose_on: got 'valid'; the prompts have the splits test, train"):
        divided(records(), 0.5, "valid")
    with refuses("held_out: got 0"):
        divided(records(), 0)
    with refuses("held_out: 1 prompts cannot be split"):
        divided(records(2), 0.5)


def test_a_prompt_that_comes_twice_is_refused(refuses):
    one = TokenizedPrompt(pair("p", " a", " b", id="first"), (1, 2), ((3,), (4,)))
    two = dataclasses.replace(one, record=dataclasses.replace(one.record, id="second"))
    with refuses("second has the prompt and answers of first"):
        Items([one], np.array([True]), [two])
