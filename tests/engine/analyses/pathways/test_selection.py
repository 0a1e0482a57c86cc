"""Which candidates are measured: against loops over rows."""

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.pathways.selection import Choice, select, summed

PROMPTS = 6


def _candidates(seed=0, prompts=PROMPTS):
    """Of two targets: eight sources, each listed by some prompts, some of them twice (drawn and strongest)."""
    rng, rows = np.random.default_rng(seed), []
    for target in ((2, 5), (3, 1)):
        for source in [(layer, feature) for layer in (0, 1) for feature in range(4)]:
            size = rng.lognormal(0, 1.5) * rng.choice([-1, 1])
            for prompt in range(prompts):
                if rng.random() < 0.7:
                    effect = size + 0.1 * rng.standard_normal()
                    row = {
                        "prompt": f"p{prompt}", "target_layer": target[0], "target_feature": target[1],
                        "source_layer": source[0], "source_feature": source[1], "gradient": effect / 3,
                        "effect": effect, "stratum": "top",
                    }  # fmt: skip
                    rows += [row] + ([row | {"stratum": "random"}] if rng.random() < 0.3 else [])
    return rows


def _table(rows):
    return pa.Table.from_pylist(rows)


def _by_hand(rows):
    """Mean effect over all prompts, and mean |gradient| over those that list it, of each pair."""
    found = {}
    for row in rows:
        key = (row["target_layer"], row["target_feature"], row["source_layer"], row["source_feature"])
        found.setdefault(key, {})[row["prompt"]] = row
    return {
        key: (
            sum(row["effect"] for row in own.values()) / PROMPTS,
            np.mean([abs(row["gradient"]) for row in own.values()]),
        )
        for key, own in found.items()
    }


def _chosen(pairs, stratum):
    mine = pairs.stratum == stratum
    both = zip(pairs.target.pairs, pairs.source.pairs, mine, strict=True)
    return [(*target, *source) for target, source, own in both if own]


def test_the_strongest_of_each_target_are_chosen_by_their_mean_effect_over_all_prompts():
    rows = _candidates()
    pairs = select(summed([_table(rows)]), PROMPTS, Choice(top=3, least=0.3, random_pairs=2))
    means = _by_hand(rows)
    expected = []
    for target in ((2, 5), (3, 1)):
        ranked = sorted((key for key in means if key[:2] == target), key=lambda key: -abs(means[key][0]))
        expected += [key for key in ranked if abs(means[key][0]) > 0.3][:3]
    assert _chosen(pairs, "selected") == expected
    known = dict(zip(zip(pairs.target.pairs, pairs.source.pairs, strict=True), pairs.effect, strict=True))
    for (target, source), effect in known.items():
        assert effect == pytest.approx(means[*target, *source][0])


def test_the_random_stratum_is_of_what_was_rejected():
    rows = _candidates()
    pairs = select(summed([_table(rows)]), PROMPTS, Choice(top=3, random_pairs=2))
    drawn = _chosen(pairs, "random")
    assert len(drawn) == 4
    assert not set(drawn) & set(_chosen(pairs, "selected"))
    assert set(drawn) != set(_chosen(select(summed([_table(rows)]), PROMPTS, Choice(top=3, random_pairs=2, seed=1)),
                                     "random"))  # fmt: skip


def test_the_documents_rule_is_by_the_mean_size_of_the_gradient():
    rows = _candidates()
    pairs = select(summed([_table(rows)]), PROMPTS, Choice("original", top=25, random_pairs=0))
    means = _by_hand(rows)
    assert set(_chosen(pairs, "selected")) == {key for key, (_, size) in means.items() if size > 0.1}


def test_neither_the_order_of_rows_nor_how_they_come_matters():
    rows = _candidates()
    whole = summed([_table(rows)])
    parts = [_table([row for row in rows if row["prompt"] == f"p{n}"]) for n in reversed(range(PROMPTS))]
    some = summed(parts)
    assert whole.schema.names == some.schema.names
    for name in whole.column_names:
        np.testing.assert_allclose(whole[name].to_numpy(), some[name].to_numpy(), rtol=1e-12)


def test_an_empty_selection_is_refused_in_a_line(refuses):
    rows = _candidates()
    with refuses("least_effect: none of 16 candidates is beyond .* the strongest is"):
        select(summed([_table(rows)]), PROMPTS, Choice(least=1e6))
    with refuses(r"select_by: original takes .* and none of 1 candidates has it \(the largest is 0.05\)"):
        select(summed([_table([rows[0] | {"gradient": -0.05}])]), PROMPTS, Choice("original"))
    with refuses("no candidate was found below the targets"):
        select(summed([_table(rows).slice(0, 0)]), PROMPTS, Choice())


def test_a_threshold_of_the_effect_is_refused_where_gradients_choose(refuses):
    with refuses("least_effect: got 5; without effect with select_by=original"):
        Choice("original", least=5.0)
