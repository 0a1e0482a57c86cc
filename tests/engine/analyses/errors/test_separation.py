"""Neurons that tell right from wrong: planted ones are found, held-out labels have no say, chance finds nothing."""

import numpy as np
import pytest

from causeway.engine.analyses.errors.labels import Labels
from causeway.engine.analyses.errors.separation import CANNOT_TELL, CONFIRMED, separation
from causeway.engine.prompt_record import PromptRecord


def prompts(right, per_group=1, **fields):
    """Prompts of which every other group is of the split test."""
    return [
        PromptRecord(
            f"p{i}", split=("train", "test")[i // per_group % 2], id=f"p{i}", group=f"g{i // per_group}",
            fields={"correct": bool(one), **{name: values[i] for name, values in fields.items()}},
        )
        for i, one in enumerate(right)
    ]  # fmt: skip


def drawn(seed=0, count=160, neurons=40, planted=7):
    """Two layers of noise, in which one neuron of layer 1 decides what is right."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, count, neurons))
    return x, x[1, :, planted] + 0.5 * rng.normal(size=count) > 0.2


def layers(x):
    return [(layer, np.arange(values.shape[1]), values) for layer, values in enumerate(x)]


def test_a_planted_neuron_is_found_first_and_confirmed_on_prompts_held_out():
    x, right = drawn()
    found = separation(layers(x), Labels().of(prompts(right)), 5, 0)
    first, *others = found.table.to_pylist()
    assert (first["layer"], first["neuron"], first["verdict"]) == (1, 7, CONFIRMED)
    assert first["auc_held_out"] > 0.85
    assert first["auc_low"] > 0.75
    assert first["d"] > 1
    assert CONFIRMED not in [row["verdict"] for row in others]
    np.testing.assert_array_equal(found.values[:, 0], x[1, :, 7])
    assert found.table.num_rows == 80
    assert [row["q_held_out"] is None for row in found.table.to_pylist()] == [False] * 5 + [True] * 75
    assert found.best.layer[0] == 1
    assert found.best.neuron[0] == 7


def test_areas_and_differences_are_those_of_their_definitions_within_strata():
    x, right = drawn(count=60, neurons=4, planted=2)
    strata = np.random.default_rng(1).integers(0, 3, 60)
    given = Labels(strata=("kind",)).of(prompts(right, kind=strata.tolist()))
    rows = {(row["layer"], row["neuron"]): row for row in separation(layers(x), given, 8, 0).table.to_pylist()}
    for side, names in ((given.choose, ("auc", "d")), (~given.choose, ("auc_held_out", "d_held_out"))):
        for (layer, neuron), row in rows.items():
            won = pairs = apart = weights = within = freedom = 0
            for stratum in range(3):
                on = side & (strata == stratum)
                a, b = x[layer, on & ~right, neuron], x[layer, on & right, neuron]
                won += sum((v > w) + (v == w) / 2 for v in b for w in a)
                pairs += len(a) * len(b)
                weight = len(a) * len(b) / (len(a) + len(b))
                apart, weights = apart + weight * (b.mean() - a.mean()), weights + weight
                within += ((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()
                freedom += len(a) + len(b) - 2
            expected = won / pairs, apart / weights / np.sqrt(within / freedom)
            np.testing.assert_allclose([row[name] for name in names], expected)


def test_labels_held_out_have_no_say_in_what_is_chosen():
    x, right = drawn()
    other = right.copy()
    held = np.arange(len(right)) % 2 == 1
    other[held] = np.random.default_rng(5).permutation(right[held])
    one, two = (separation(layers(x), Labels().of(prompts(labels)), 5, 0).table for labels in (right, other))
    chosen = ["layer", "neuron", "auc", "d", "mean_right", "mean_wrong", "p", "q"]
    assert one.select(chosen).equals(two.select(chosen))
    assert not one.equals(two)


def test_values_held_out_have_no_say_in_what_is_chosen():
    x, right = drawn()
    given, other = Labels().of(prompts(right)), x.copy()
    other[:, ~given.choose] = np.random.default_rng(6).normal(size=other[:, ~given.choose].shape)
    one, two = (separation(layers(values), given, 5, 0).table for values in (x, other))
    assert one.select(["layer", "neuron", "auc", "p"]).equals(two.select(["layer", "neuron", "auc", "p"]))


@pytest.mark.slow
@pytest.mark.parametrize("per_group", [1, 4])
def test_labels_dealt_at_random_confirm_no_more_than_chance(per_group):
    """Prompts of a group share their label and most of their values; 120 draws of 40 groups."""
    found, p = 0, []
    for seed in range(1000, 1120):
        rng = np.random.default_rng(seed)
        of = np.repeat(np.arange(40), per_group)
        right = rng.permutation(np.arange(40) % 2 == 0)[of]
        x = rng.normal(size=(1, 40, 6))[:, of] + 0.3 * rng.normal(size=(1, len(of), 6))
        sides = Labels(held_out=0.5, seed=seed)
        try:
            given = sides.of(prompts(right, per_group))
        except ValueError:  # too few groups of a class on a side
            continue
        table = separation(layers(x), given, 3, seed).table.to_pylist()
        found += min(row["q_held_out"] for row in table[:3]) < 0.05
        p += [row["p_held_out"] for row in table[:3]]
    assert len(p) > 180
    assert found <= 12, found  # 6 expected; more than 12 of 120 has probability 0.01
    assert 0.01 < np.mean(np.array(p) < 0.1) < 0.16


def test_a_neuron_that_tells_strata_apart_says_nothing_within_them():
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 2, 200)
    right = rng.random(200) < np.where(kind, 0.85, 0.15)
    x = (kind + 0.1 * rng.normal(size=200))[None, :, None] + np.zeros((1, 200, 1))
    records = prompts(right, kind=kind.tolist())
    (without,) = separation(layers(x), Labels().of(records), 1, 0).table.to_pylist()
    (within,) = separation(layers(x), Labels(strata=("kind",)).of(records), 1, 0).table.to_pylist()
    assert without["verdict"] == CONFIRMED
    assert within["verdict"] != CONFIRMED
    assert abs(within["auc_held_out"] - 0.5) < 0.2


def test_how_neurons_are_dealt_into_layers_changes_nothing_but_their_names():
    x, right = drawn()
    given = Labels().of(prompts(right))
    one = separation(layers(x), given, 5, 0).table
    two = separation([(0, np.arange(80), np.concatenate(list(x), axis=1))], given, 5, 0).table
    names = ["auc", "d", "auc_held_out", "p_held_out"]
    assert one.select(names).equals(two.select(names))


def test_neurons_that_do_not_vary_are_not_judged_and_none_that_does_is_refused():
    x, right = drawn(neurons=3, planted=2)
    x[0] = 1
    given = Labels().of(prompts(right))
    table = separation(layers(x), given, 6, 0).table.to_pylist()
    assert [row["verdict"] is None for row in table] == [False] * 3 + [True] * 3
    with pytest.raises(ValueError, match="neurons: none has two values"):
        separation(layers(x[:1]), given, 6, 0)


def test_a_neuron_silent_on_the_prompts_held_out_cannot_be_told():
    x, right = drawn()
    given = Labels().of(prompts(right))
    x[1][~given.choose, 7] = 0
    row = separation(layers(x), given, 1, 0).table.to_pylist()[0]
    assert (row["neuron"], row["verdict"]) == (7, CANNOT_TELL)
