"""The causal rule, criterion by criterion."""

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.patch_sweep.causal_rule import CausalRule, envelope, monotone
from causeway.engine.analyses.patch_sweep.effects import EffectSettings, effects

VALUES = ("safe", "risky")
DOSES = (0.0, 0.5, 1.0, 1.5)


def _trials(slope, features=40, prompts=24, doses=DOSES, random=True, groups=VALUES, noise=0.01):
    """Exact trials in which feature f moves p_stop by slope(f, group) for the risky value, doses in proportion."""
    rng = np.random.default_rng(0)
    arms = {"noop": 0.0, "patch:risky": 1.0} | {f"dose:risky:{q}": q for q in doses}
    rows = []
    for prompt in range(prompts):
        base, group = rng.uniform(0.3, 0.5), groups[prompt % len(groups)]
        for feature in range(features):
            place = {"prompt_id": prompt, "group": group, "layer": 0, "feature": feature, "trial": 0}
            for arm, dose in arms.items():
                rows.append(place | {"arm": arm, "p_stop": base + dose * slope(feature, group) + rng.normal(0, noise)})
            if random:
                rows.append(place | {"arm": "random:risky", "p_stop": base + rng.normal(0, noise)})
    for row in rows:
        row["p_other"] = 1 - row["p_stop"]
    return pa.Table.from_pylist(rows)


def _decided(trials, rule=None):
    table = effects(trials, EffectSettings(rule=rule or CausalRule()))
    rows = [r for r in table.to_pylist() if r["contrast"] == "patch:risky - noop" and r["outcome"] == "p_stop"]
    return [r for r in rows if r["group"] == "all"]


def test_a_clean_effect_meets_every_criterion_and_only_it_is_declared():
    rows = _decided(_trials(lambda f, g: 0.2 if f < 3 else 0.0))
    assert [r["feature"] for r in rows if r["is_causal"]] == [0, 1, 2]
    for row in rows[:3]:
        assert row["not_evaluated"] == ""
        assert all(row[f"criterion_{name}"] for name in ("q", "effect", "sign", "envelope", "dose"))
    assert rows[0]["dose_rho"] == pytest.approx(1.0)


def test_opposite_signs_in_two_contexts_are_not_causal():
    rows = _decided(_trials(lambda f, g: (0.3 if g == "safe" else -0.1) if f == 0 else 0.0, prompts=60))
    assert rows[0]["criterion_q"] or rows[0]["criterion_effect"]
    assert rows[0]["criterion_sign"] is False
    assert not rows[0]["is_causal"]


def test_an_effect_below_tau_is_not_causal_however_certain():
    rows = _decided(_trials(lambda f, g: 0.03 if f == 0 else 0.0, noise=0.001))
    assert rows[0]["criterion_q"]
    assert rows[0]["criterion_effect"] is False
    assert not rows[0]["is_causal"]
    assert _decided(_trials(lambda f, g: 0.03 if f == 0 else 0.0, noise=0.001), CausalRule(tau=0.02))[0]["is_causal"]


def test_what_could_not_be_evaluated_is_listed_and_null():
    rows = _decided(_trials(lambda f, g: 0.2, features=3, doses=(), groups=("only",)))
    assert {r["not_evaluated"] for r in rows} == {"envelope, sign, dose"}
    assert all(r["criterion_envelope"] is None and r["criterion_dose"] is None for r in rows)


@pytest.mark.parametrize("random", [False, True])
def test_nothing_is_called_causal_without_enough_random_features(random):
    """19 make an envelope; without one a feature fails or is not told."""
    rows = _decided(_trials(lambda f, g: 0.2 if f < 3 else 0.0, features=5, random=random))
    assert [r["is_causal"] for r in rows] == [None, None, None, False, False]
    assert {r["not_evaluated"] for r in rows} == {"envelope"}


def test_without_contexts_and_doses_the_random_features_decide():
    rows = _decided(_trials(lambda f, g: 0.2 if f < 3 else 0.0, doses=(), groups=("only",)))
    assert [r["feature"] for r in rows if r["is_causal"]] == [0, 1, 2]
    assert {r["is_causal"] for r in rows} == {True, False}


def test_a_causal_row_has_its_interval_on_one_side_of_nothing():
    """The half that estimates has to agree with the half that selects."""
    table = effects(_trials(lambda f, g: 0.04 * f / 40, features=40, prompts=40, noise=0.05), EffectSettings(
        split=True, rule=CausalRule(tau=0.001)))  # fmt: skip
    rows = [r for r in table.to_pylist() if r["criterion_q"] and r["outcome"] == "p_stop" and r["group"] == "all"]
    straddling = [r for r in rows if r["low"] < 0 < r["high"]]
    assert straddling
    assert not any(r["is_causal"] for r in straddling)
    assert any(r["is_causal"] for r in rows)


def test_controls_and_single_contexts_are_never_declared():
    table = effects(_trials(lambda f, g: 0.2, features=20))
    for row in table.to_pylist():
        if row["group"] != "all" or row["role"] not in ("primary", "tested"):
            assert row["is_causal"] is None


def test_a_dose_curve_must_be_steady():
    steps = np.array([[0.0, 0.0, 0.0, 0.1], [0.1, -0.1, 0.0, 0.0], [0.2, -0.2, 0.0, 0.3], [0.4, -0.3, 0.0, 0.05]])
    np.testing.assert_allclose(monotone(steps)[:3], [1, -1, 0])
    assert abs(monotone(steps)[3]) < 0.8
    saturated = np.array([[0.0], [0.2], [0.3], [0.3 + 1e-12], [0.3]])
    assert monotone(saturated)[0] > 0.85
    assert np.isnan(monotone(np.array([[0.0], [np.nan], [1.0]]))).all()


def test_ladders_to_two_values_may_go_opposite_ways():
    # Each context's own value is that context's patch value, as in two groups that the feature tells apart.
    rng, value, rows = np.random.default_rng(0), {"safe": 1.0, "risky": 3.0}, []
    for prompt in range(24):
        group, base = VALUES[prompt % 2], rng.uniform(0.3, 0.4)
        own = value[group]
        arms = {"noop": own} | {f"patch:{name}": v for name, v in value.items()}
        arms |= {f"dose:{name}:{q}": own + q * (v - own) for name, v in value.items() for q in (0.25, 0.5, 0.75)}
        place = {"prompt_id": prompt, "group": group, "layer": 0, "feature": 0, "trial": 0}
        rows += [place | {"arm": arm, "p_stop": base + 0.1 * (v - own)} for arm, v in arms.items()]
    table = effects(pa.Table.from_pylist(rows), EffectSettings(values=VALUES))
    (row,) = (r for r in table.to_pylist() if (r["role"], r["group"], r["outcome"]) == ("primary", "all", "p_stop"))
    assert row["effect"] == pytest.approx(0.2)
    assert row["criterion_dose"]
    assert row["is_causal"] is None


def test_a_random_feature_is_outside_the_envelope_one_time_in_twenty():
    rng = np.random.default_rng(1)
    layer = np.repeat([0, 1], 1000)
    scale = np.where(layer == 0, 1.0, 5.0)
    outside = [
        np.abs(rng.normal(size=2000)) * scale > envelope(np.abs(rng.normal(size=(1, 2000))) * scale, layer, 0.95)
        for _ in range(20)
    ]
    assert 0.04 < np.mean(np.asarray(outside)[:, layer == 0]) < 0.06
    assert 0.04 < np.mean(np.asarray(outside)[:, layer == 1]) < 0.06


def test_a_layer_with_few_controls_borrows_from_all():
    layer = np.array([0] * 30 + [1] * 3)
    controls = np.abs(np.random.default_rng(2).normal(size=(1, 33)))
    bound = envelope(controls, layer, 0.95)
    assert bound[-1] == np.sort(controls[0])[int(np.ceil(0.95 * 34)) - 1]
    assert np.isnan(envelope(controls[:, :5], layer[:5], 0.95)).all()
