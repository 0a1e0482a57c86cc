"""Effects tables: what each number is, which rows and units there are, and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet
import pytest
from scipy import stats

from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.analyses.patch_sweep.cells import Cells, read_trials
from causeway.engine.analyses.patch_sweep.effect_results import CONFOUNDED
from causeway.engine.analyses.patch_sweep.effects import METADATA_KEY, EffectSettings, effects
from causeway.engine.analyses.patch_sweep.estimates import EstimateSettings, estimate
from causeway.engine.stats.paired import METHOD, paired_mean

VALUES = ("safe", "risky")
ARMS = ("noop", "patch:safe", "patch:risky", "ablate")


def _exact(features=4, prompts=16, arms=ARMS, seed=0, layers=2):
    """Exact trials: a baseline once a prompt, the other arms for every feature."""
    rng = np.random.default_rng(seed)
    rows = []
    for prompt in range(prompts):
        base = rng.uniform(0.3, 0.6)
        common = {"prompt_id": prompt, "group": VALUES[prompt % 2], "trial": 0}
        rows.append(common | {"layer": -1, "feature": -1, "arm": "baseline", "p_stop": base})
        for feature in range(features):
            place = common | {"layer": feature % layers, "feature": 100 + feature}
            for arm in arms:
                shift = 0.2 * feature if arm == "patch:risky" else 0.0
                noise = 0.0 if arm == "noop" else rng.normal(0, 0.02)
                rows.append(place | {"arm": arm, "p_stop": base + 0.1 * (arm != "baseline") + shift + noise})
    for row in rows:
        row |= {"p_bet": 0.9 - row["p_stop"], "p_other": 0.1, "expected_amount": 10 * (0.9 - row["p_stop"])}
    return pa.Table.from_pylist(rows)


def _sampled(rates, prompts, trials, seed=0, invalid=0.1):
    """Sampled trials of one feature under each arm's stop rate."""
    rng = np.random.default_rng(seed)
    rows = []
    for prompt in range(prompts):
        for arm, rate in rates.items():
            for trial in range(trials):
                action = rng.choice(["stop", "bet", "invalid"], p=[rate, 1 - invalid - rate, invalid])
                amount = float(rng.choice([5, 10, 20])) if action == "bet" else None
                rows.append({"prompt_id": prompt, "group": VALUES[prompt % 2], "layer": 3, "feature": 7, "arm": arm,
                             "trial": trial, "action": action, "amount": amount})  # fmt: skip
    return pa.Table.from_pylist(rows)


def _rows(table, **where):
    return [r for r in table.to_pylist() if all(r[k] == v for k, v in where.items())]


def _cell(trials, **where):
    return np.array([r["p_stop"] for r in sorted(_rows(trials, **where), key=lambda r: r["prompt_id"])])


def test_effect_and_interval_are_those_of_the_paired_differences():
    trials = _exact()
    table = effects(trials, EffectSettings(values=VALUES))
    for feature in (0, 2):
        place = {"layer": feature % 2, "feature": 100 + feature}
        x = _cell(trials, **place, arm="patch:risky") - _cell(trials, **place, arm="noop")
        (row,) = _rows(table, **place, contrast="patch:risky - noop", group="all", outcome="p_stop")
        expected = paired_mean(x[None])
        got = [row[name] for name in ("effect", "low", "high", "p")]
        np.testing.assert_allclose(got, [x.mean(), expected.low[0], expected.high[0], expected.p[0]])
        student = stats.ttest_1samp(x, 0).confidence_interval()
        assert row["low"] <= student.low < student.high <= row["high"]
        assert (row["n_prompts"], row["unit"]) == (16, "prompt")
        assert row["interval"] == row["test"] == METHOD


def test_p_and_interval_of_a_row_agree():
    """Without a split they come from the same prompts by one method."""
    table = effects(_exact(features=40, prompts=24), EffectSettings(values=VALUES, split=False))
    rows = [r for r in table.to_pylist() if r["p"] is not None]
    assert len(rows) > 200
    for row in rows:
        assert (row["p"] < 0.05) == (row["low"] > 0 or row["high"] < 0)


def test_the_primary_contrast_compares_two_patched_arms_in_the_order_given():
    table = effects(_exact(), EffectSettings(values=VALUES))
    assert {r["contrast"] for r in _rows(table, role="primary")} == {"patch:risky - patch:safe"}
    other = effects(_exact(), EffectSettings(values=VALUES[::-1]))
    where = {"role": "primary", "group": "all", "outcome": "p_stop"}
    for a, b in zip(_rows(table, **where), _rows(other, **where), strict=True):
        np.testing.assert_allclose(a["effect"], -b["effect"])
        np.testing.assert_allclose(a["p"], b["p"])


def test_order_of_rows_batches_and_storage_do_not_matter(tmp_path):
    trials = _exact()
    shuffled = trials.take(np.random.default_rng(1).permutation(trials.num_rows))
    pa.parquet.write_table(shuffled, tmp_path / "trials.parquet", row_group_size=50, use_dictionary=True)
    stored = pyarrow.dataset.dataset(tmp_path / "trials.parquet")
    encoded = shuffled.set_column(shuffled.column_names.index("arm"), "arm", shuffled["arm"].dictionary_encode())
    expected = effects(trials).to_pandas() if False else effects(trials).to_pylist()
    assert effects(stored).to_pylist() == expected
    assert effects(encoded).to_pylist() == expected


def test_q_covers_features_times_contrasts_of_one_group_and_outcome():
    table = effects(_exact(), EffectSettings(values=VALUES))
    family = [r for r in _rows(table, group="all", outcome="p_stop") if r["role"] in ("primary", "tested")]
    assert {r["family_size"] for r in family} == {4 * 4}
    expected = stats.false_discovery_control([r["p"] for r in family])
    np.testing.assert_allclose([r["q"] for r in family], expected)
    assert all(r["q"] is None for r in _rows(table, role="noop"))


def test_what_is_no_answer_is_an_outcome_of_its_own_and_no_change_is_neither_tested_nor_causal():
    table = effects(_exact())
    rows = _rows(table, outcome="p_other", contrast="ablate - noop", group="all")
    assert len(rows) == 4
    for row in rows:
        assert (row["effect"], row["n_distinct"], row["is_causal"]) == (0, 0, False)
        assert row["low"] is row["high"] is row["p"] is row["q"] is None


def test_log_odds_move_where_probabilities_cannot():
    """Answers that hold a thousandth of the probability: the odds between them still tell."""
    trials = _exact(prompts=12)
    small = {name: pa.array(np.asarray(trials[name]) * 1e-3) for name in ("p_stop", "p_bet")}
    for name, column in small.items():
        trials = trials.set_column(trials.column_names.index(name), name, column)
    table = effects(trials, EffectSettings(values=VALUES))
    where = {"contrast": "patch:risky - noop", "group": "all", "feature": 101}
    (row,), (odds,) = _rows(table, outcome="p_stop", **where), _rows(table, outcome="log_odds", **where)
    x = {a: _cell(trials, arm=a, feature=101) * 1e3 for a in ("noop", "patch:risky")}
    logit = {a: np.log(v) - np.log(0.9 - v) for a, v in x.items()}
    np.testing.assert_allclose(odds["effect"], (logit["patch:risky"] - logit["noop"]).mean())
    assert abs(row["effect"]) < 1e-3 < 0.5 < odds["effect"]
    assert (row["is_causal"], odds["is_causal"]) == (False, None)
    reading = json.loads(table.schema.metadata[METADATA_KEY])
    assert reading["log_odds"] == "log p_stop - log p_bet, nats"


def test_log_odds_of_one_label_are_against_all_else():
    table = effects(_exact().drop_columns(["p_bet", "expected_amount"]))
    assert json.loads(table.schema.metadata[METADATA_KEY])["log_odds"] == "log p_stop - log (1 - p_stop), nats"
    assert {r["outcome"] for r in table.to_pylist()} == {"p_stop", "p_other", "log_odds"}


def test_answers_without_amounts_have_no_expected_amount():
    trials = _exact()
    place = trials.column_names.index("expected_amount")
    none = trials.set_column(place, "expected_amount", pa.array(np.zeros(trials.num_rows)))
    assert "expected_amount" in {r["outcome"] for r in effects(trials).to_pylist()}
    assert "expected_amount" not in {r["outcome"] for r in effects(none).to_pylist()}


def test_baseline_stands_in_for_a_noop_that_was_not_run_in_delta_form_and_marked_for_the_studys_arms_in_replace_form():
    trials = _exact(arms=("patch:safe", "patch:risky"))
    table = effects(trials)
    x = _cell(trials, feature=100, arm="patch:safe") - _cell(trials, arm="baseline")
    (row,) = _rows(table, feature=100, contrast="patch:safe - baseline", group="all", outcome="p_stop")
    np.testing.assert_allclose(row["effect"], x.mean())
    assert not [r for r in table.to_pylist() if CONFOUNDED in r["note"]]
    replaced = effects(trials, EffectSettings(noop_is_baseline=False)).to_pylist()
    # Two patched arms share the dictionary's error; a patched arm and the baseline do not.
    assert {r["contrast"] for r in replaced if CONFOUNDED in r["note"]} == {
        "patch:safe - baseline", "patch:risky - baseline"
    }  # fmt: skip
    assert [r["effect"] for r in replaced] == [r["effect"] for r in table.to_pylist()]
    assert not [r for r in replaced if r["is_causal"]]
    with pytest.raises(ValueError, match="hold no reference; needs noop"):
        effects(_exact(arms=("patch:safe", "ablate")), EffectSettings(noop_is_baseline=False))


def test_a_row_of_one_layer_stands_for_the_features_of_that_layer():
    trials = _exact(arms=("patch:safe",)).to_pylist()
    noop = [
        {**r, "layer": layer, "arm": "noop", "p_stop": 0.25 + layer}
        for r in trials if r["arm"] == "baseline" for layer in (0, 1)
    ]  # fmt: skip
    cells = read_trials(pa.Table.from_pylist(trials + noop))
    np.testing.assert_allclose(
        cells.arm("p_stop", "noop").mean, np.where(cells.layer[:, None] == 0, 0.25, 1.25) * np.ones((1, 16))
    )
    assert len(cells.feature) == 4


def test_split_tests_on_one_half_and_estimates_on_the_other():
    trials = _exact(prompts=40)
    table = effects(trials, EffectSettings(values=VALUES, split=True, seed=3))
    whole = effects(trials, EffectSettings(values=VALUES, split=False))
    where = {"feature": 101, "contrast": "patch:risky - noop", "group": "all", "outcome": "p_stop"}
    (row,), (both,) = _rows(table, **where), _rows(whole, **where)
    assert (row["n_prompts"], row["n_prompts_selection"]) == (20, 20)
    np.testing.assert_allclose((row["effect"] + row["effect_selection"]) / 2, both["effect"])
    assert row["effect"] != row["effect_selection"]
    assert json.loads(table.schema.metadata[METADATA_KEY])["split"] is True


def test_a_split_that_is_impossible_is_not_done_and_said():
    table = effects(_exact(prompts=8), EffectSettings(split=True))
    assert "needs 20" in json.loads(table.schema.metadata[METADATA_KEY])["split"]


@pytest.mark.parametrize(
    ("prompts", "note"),
    [
        (1, "cannot tell: 1 prompts are too few"),
        (9, "cannot tell: 9 prompts are too few"),
        (10, ""),
    ],
)
def test_too_few_prompts_is_said(prompts, note):
    rows = _rows(effects(_exact(prompts=prompts)), group="all", contrast="ablate - noop", outcome="p_stop")
    assert all(r["note"].startswith(note) for r in rows)
    assert all((r["low"] is None) == (r["p"] is None) == (prompts < 10) for r in rows)
    assert not any(r["is_causal"] for r in rows)


def test_an_effect_on_a_few_prompts_is_no_mean_that_can_be_told():
    trials = _exact(prompts=20).to_pylist()
    for row in trials:
        if row["arm"] == "patch:risky" and row["feature"] == 103:
            base = next(r for r in trials if r["prompt_id"] == row["prompt_id"] and r["arm"] == "noop")
            row["p_stop"] = base["p_stop"] + (0.5 + 0.01 * row["prompt_id"] if row["prompt_id"] < 5 else 0.0)
    where = {"feature": 103, "contrast": "patch:risky - noop", "group": "all", "outcome": "p_stop"}
    (row,) = _rows(effects(pa.Table.from_pylist(trials), EffectSettings(split=False)), **where)
    assert row["n_distinct"] == 5
    assert row["effect"] > 0.1
    assert row["low"] is row["p"] is row["is_causal"] is None
    assert "cannot tell" in row["note"]
    assert row["not_evaluated"].startswith("q, effect")


def test_one_sampled_prompt_gets_an_exact_test_and_an_interval_over_its_trials():
    trials = _sampled({"noop": 0.2, "patch:safe": 0.7}, prompts=1, trials=30)
    (row,) = _rows(effects(trials), contrast="patch:safe - noop", outcome="p_stop", group="all")
    counts = {arm: sum(r["action"] == "stop" for r in _rows(trials, arm=arm)) for arm in ("noop", "patch:safe")}
    table = [[counts["patch:safe"], counts["noop"]], [30 - counts["patch:safe"], 30 - counts["noop"]]]
    np.testing.assert_allclose(row["p"], stats.fisher_exact(table).pvalue)
    assert row["interval"] == "Newcombe, trials within one prompt"
    assert (row["unit"], row["n_trials"]) == ("trial", 30)
    assert row["low"] < row["effect"] < row["high"]
    assert "too few to generalise over prompts" in row["note"]


def test_a_few_sampled_prompts_are_taken_as_they_are():
    trials = _sampled({"noop": 0.2, "patch:safe": 0.6}, prompts=3, trials=25)
    (row,) = _rows(effects(trials), contrast="patch:safe - noop", outcome="p_stop", group="all")
    assert row["interval"] == row["test"] == "Welch t, trials within 3 prompts"
    assert row["p"] < 0.001
    assert 0 < row["low"] < row["effect"] < row["high"] < 0.7
    assert row["is_causal"] is None
    single = effects(trials.filter(pc.less(trials["trial"], 1)))
    (row,) = _rows(single, contrast="patch:safe - noop", outcome="p_stop", group="all")
    assert row["effect"] is not None
    assert row["low"] is row["p"] is None


@pytest.mark.parametrize(("prompts", "trials"), [(1, 30), (2, 10), (4, 4), (9, 4), (9, 30)])
def test_intervals_and_tests_within_prompts_hold_what_they_say(prompts, trials):
    """Shares of a few prompts from their trials: 1,000 features, of no effect and of one."""
    rng = np.random.default_rng(prompts)
    base = np.linspace(0.2, 0.5, prompts)

    def cells(rate):
        drawn = rng.binomial(trials, rate, size=(1000, prompts)).astype(float)
        return Cells(np.full(drawn.shape, float(trials)), drawn)

    for effect in (0.0, 0.25):
        found = estimate(cells(base + effect), cells(base), EstimateSettings(), sampled=True)
        told = ~np.isnan(found.low)
        assert told.mean() > 0.9
        assert 0.925 < ((found.low <= effect) & (effect <= found.high))[told].mean() < 0.99
        assert effect or np.mean(found.p[told] < 0.05) < 0.07


def test_sampled_amounts_leave_unread_answers_out_and_count_a_stop_as_nothing():
    trials = _sampled({"noop": 0.2, "patch:safe": 0.6}, prompts=1, trials=40)
    (row,) = _rows(effects(trials), contrast="patch:safe - noop", outcome="expected_amount", group="all")
    means = {}
    for arm in ("noop", "patch:safe"):
        read = [r for r in _rows(trials, arm=arm) if r["action"] != "invalid"]
        means[arm] = [r["amount"] or 0.0 for r in read]
    np.testing.assert_allclose(row["effect"], np.mean(means["patch:safe"]) - np.mean(means["noop"]))
    np.testing.assert_allclose(row["p"], stats.ttest_ind(*means.values(), equal_var=False).pvalue)
    assert row["n_trials"] == len(means["patch:safe"])


def test_many_sampled_prompts_are_the_unit():
    trials = _sampled({"noop": 0.2, "patch:safe": 0.6}, prompts=12, trials=4)
    (row,) = _rows(effects(trials), contrast="patch:safe - noop", outcome="p_stop", group="all")
    assert (row["unit"], row["n_prompts"], row["n_trials"]) == ("prompt", 12, 48)


def test_a_context_of_one_prompt_survives_a_split_of_sampled_trials():
    trials = _sampled({"noop": 0.4, "patch:risky": 0.6}, prompts=22, trials=3)
    group = pa.array(["risky" if p == 21 else "safe" for p in trials["prompt_id"].to_pylist()])
    table = effects(trials.set_column(trials.column_names.index("group"), "group", group), EffectSettings(split=True))
    assert {r["n_prompts"] for r in _rows(table, group="all", outcome="p_stop")} == {11}


def test_arms_that_cannot_be_read_and_broken_tables_are_refused():
    with pytest.raises(ValueError, match=r"arm: got 'patch'; needs baseline"):
        Arm.parse("patch")
    with pytest.raises(ValueError, match=r"lacks the columns \['arm'\]"):
        effects(_exact().drop_columns(["arm"]))
    twice = pa.concat_tables([_exact(), _exact().set_column(1, "group", pa.array(["other"] * _exact().num_rows))])
    with pytest.raises(ValueError, match="in two groups"):
        effects(twice)
    only_baseline = pa.Table.from_pylist(_rows(_exact(), arm="baseline"))
    with pytest.raises(ValueError, match="needs patched rows"):
        effects(only_baseline)
