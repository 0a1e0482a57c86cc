"""Error rates on simulated sweeps: our rule under a null with the dictionary's error in it, and the original rule.

No feature does anything. Prompts differ in their stop rate; every arm that passes through the dictionary, the no-op
included, stops more often than the bare baseline by `shift`, which is what a reconstruction error can do.
"""

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.as_published.causal_rule import original_rule
from causeway.engine.analyses.patch_sweep.effects import EffectSettings, effects
from causeway.engine.stats.multiple import adjust

ARMS = ("baseline", "noop", "patch:safe", "patch:risky", "random:safe", "random:risky")
SETTINGS = EffectSettings(values=("safe", "risky"), noop_is_baseline=False)


def _sweep(features, prompts, trials, shift, *, true=0, effect=0.0, seed=0):
    """Sampled trials. The first `true` features add `effect` to the stop rate under the risky value.

    The baseline is drawn anew for every feature, as the original study ran it.
    """
    rng = np.random.default_rng(seed)
    rate = 0.15 + 0.3 * rng.beta(2, 2, size=prompts)
    sizes = (features, len(ARMS), prompts, trials)
    feature, arm, prompt, trial = (a.ravel() for a in np.meshgrid(*map(np.arange, sizes), indexing="ij"))
    through_dictionary = arm != ARMS.index("baseline")
    moved = (feature < true) & (arm == ARMS.index("patch:risky"))
    draw = rng.uniform(size=len(arm))
    stops = draw < rate[prompt] + shift * through_dictionary + effect * moved
    action = np.where(stops, "stop", np.where(draw < 0.95, "bet", "invalid"))
    return pa.table(
        {
            "prompt_id": prompt,
            "group": np.where(prompt % 2, "safe", "risky"),
            "layer": feature % 3,
            "feature": feature,
            "arm": np.asarray(ARMS)[arm],
            "trial": trial,
            "action": action,
            "amount": pa.array(rng.choice([5.0, 10.0, 20.0, 50.0], size=len(arm)), mask=action != "bet"),
        }
    )


def _declared(table):
    """is_causal of the family's rows on p_stop; what cannot be told is not declared."""
    rows = [r for r in table.to_pylist() if (r["outcome"], r["group"]) == ("p_stop", "all") and r["q"] is not None]
    return rows, np.array([bool(r["is_causal"]) for r in rows])


@pytest.fixture(scope="module")
def null_sweep():
    return _sweep(features=300, prompts=40, trials=6, shift=0.15)


@pytest.fixture(scope="module")
def null_effects(null_sweep):
    return effects(null_sweep, SETTINGS)


def test_our_rule_declares_no_more_than_alpha_under_the_null(null_effects):
    rows, declared = _declared(null_effects)
    assert len(rows) > 290 * 3
    assert declared.mean() <= 0.05
    # The correction, not the threshold on size, does it: so it is for an effect of any size too.
    assert np.mean([r["criterion_q"] for r in rows]) <= 0.05


def test_p_values_of_the_family_are_uniform_and_the_confound_is_seen_where_it_is(null_effects):
    rows = [r for r in null_effects.to_pylist() if r["outcome"] == "p_stop" and r["group"] == "all"]
    p = np.array([r["p"] for r in rows if r["role"] == "primary" and r["p"] is not None])
    assert (p < 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(p))
    assert 0.4 < p.mean() < 0.6
    confound = np.array([r["effect"] for r in rows if r["contrast"] == "noop - baseline"])
    assert abs(confound.mean() - 0.15) < 0.05


def test_the_original_rule_declares_many_of_the_same_null_features(null_sweep):
    def declared(sweep):
        return np.mean(np.asarray(original_rule(sweep)["original_is_causal_safe"].to_pylist()))

    assert declared(null_sweep) > 0.2
    assert declared(_sweep(features=500, prompts=20, trials=6, shift=0.0)) < 0.08


def test_any_declaration_in_a_null_family_is_as_rare_as_alpha():
    """60 families of 8 features: how often any q of a family falls below 0.05."""
    table = effects(_sweep(features=480, prompts=16, trials=4, shift=0.1, seed=3), SETTINGS).to_pylist()
    p = [r["p"] for r in table if (r["outcome"], r["group"], r["role"]) == ("p_stop", "all", "primary")]
    any_false = [(adjust(family).q < 0.05).any() for family in np.reshape(p, (60, 8))]
    assert np.mean(any_false) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


def test_true_effects_are_found_among_null_features_and_few_others():
    table = effects(_sweep(features=120, prompts=80, trials=6, shift=0.15, true=12, effect=0.25, seed=1), SETTINGS)
    rows, declared = _declared(table)
    primary = np.array([r["role"] == "primary" for r in rows])
    true = np.array([r["feature"] < 12 for r in rows])
    assert declared[primary & true].mean() > 0.9
    assert declared[~true].sum() <= 2
    found = [r["effect"] for r, d in zip(rows, declared, strict=True) if d and r["feature"] < 12]
    assert abs(np.mean(found) - 0.25) < 0.05


def test_split_estimates_do_not_carry_the_winners_curse():
    trials = _sweep(features=300, prompts=24, trials=4, shift=0.1, seed=2)
    split = effects(trials, EffectSettings(values=("safe", "risky"), noop_is_baseline=False, split=True))
    rows = [r for r in split.to_pylist() if (r["outcome"], r["group"], r["role"]) == ("p_stop", "all", "primary")]
    chosen = sorted(rows, key=lambda r: -r["effect_selection"])[:30]
    assert np.mean([r["effect_selection"] for r in chosen]) > 0.08
    assert abs(np.mean([r["effect"] for r in chosen])) < 0.03
