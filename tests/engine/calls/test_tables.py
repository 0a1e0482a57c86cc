"""`screen`, `features`, `evaluate` and `patch_sweep` on a loaded model: tables that say what `run` says."""

import numpy as np
import pyarrow.compute as pc
import pytest

import causeway as cw

GROUPS = {"nine": ["44+95=13", "24+95=11", "34+95=12"], "eight": ["44+94=13", "24+94=11", "34+94=12"]}


@pytest.fixture(scope="module")
def model():
    return cw.load_model("bundled:tiny")


@pytest.fixture(scope="module")
def saes(model):
    return cw.load_dictionaries("bundled:tiny", for_model=model)


@pytest.fixture(scope="module")
def screened(model, saes):
    return cw.screen(model, GROUPS, saes)


def test_the_screen_has_the_means_of_the_groups(model, saes, screened, refuses):
    assert screened.num_rows == len(saes.config.layers) * saes.num_features
    tap = cw.Tap("resid_post", "all", layers=2)
    for group, prompts in GROUPS.items():
        out = cw.run(model, prompts, taps=tap, dictionary=saes, logits=None)
        mean = np.mean([values[-1] for values in out["resid_post", 2]], axis=0)
        found = screened.filter(pc.equal(screened["layer"], 2))[f"mean_{group}"]
        np.testing.assert_allclose(found.to_numpy(), mean, rtol=1e-4, atol=1e-4)
    with refuses("prompts: got 1 groups; needs two"):
        cw.screen(model, {"a": ["44+95="]}, saes)
    with refuses("prompts: got .*; needs groups by name"):
        cw.screen(model, ["44+95="], saes)


def test_features_are_those_that_a_tap_finds_strongest(model, saes):
    prompts = GROUPS["nine"][:2]
    table = cw.features(model, prompts, saes, last=2, top_k=5)
    out = cw.run(model, prompts, taps=cw.Tap("resid_post", "top_k", width=5), dictionary=saes, logits=None)
    for number, ids in enumerate(out.tokens):
        for layer in range(4):
            rows = [row for row in table.to_pylist() if (row["prompt"], row["layer"]) == (number, layer)]
            assert {row["position"] for row in rows} == {len(ids) - 2, len(ids) - 1}
            last = [row for row in rows if row["position"] == len(ids) - 1]
            assert last[0]["token"] == ids[-1]
            np.testing.assert_array_equal([row["feature"] for row in last], out.records[0][number].ids[layer, -1])
            np.testing.assert_allclose([row["value"] for row in last], out["resid_post", layer][number][-1], rtol=1e-4)


def test_answers_have_the_log_probabilities_of_a_pass(model, refuses):
    rows = cw.evaluate(model, [("44+95=13", "9", "8"), ("44+94=13", "9", "8")]).to_pylist()
    for row in rows:
        logits = cw.run(model, row["prompt"], logits="last").logits[0].astype(np.float64)
        log_p = logits - np.log(np.exp(logits).sum())
        [nine], [eight] = model.answer_tokens(row["prompt"], ["9", "8"])
        assert row["log_p_correct"] == pytest.approx(log_p[nine], abs=1e-4)
        assert row["difference"] == pytest.approx(log_p[nine] - log_p[eight], abs=1e-4)
    assert [row["right"] for row in rows] == [True, False]
    with refuses(r"prompts: got \('a', 'b'\); needs \(prompt, right answer, wrong answer\)"):
        cw.evaluate(model, [("a", "b")])


@pytest.mark.slow
def test_a_sweep_gives_the_effect_that_runs_measure(model, saes, tmp_path):
    rows = [{"layer": 2, "feature": 121, "value_high": 14.0}]
    arguments = {"features": rows, "answers": {"nine": "9", "eight": "8"}, "split": False, "rows": 8}
    table = cw.patch_sweep(model, GROUPS, saes, arms=("baseline", "noop", "patch"), workdir=tmp_path, **arguments)
    row = next(r for r in table.to_pylist() if (r["outcome"], r["group"]) == ("p_nine", "all"))
    edit = cw.FeatureEdit(2, 121, 14.0, scope="last_prompt")
    prompts = [prompt for listed in GROUPS.values() for prompt in listed]
    logits = cw.run(model, prompts, arms=[[], [edit]], dictionary=saes, logits="last").logits
    [nine] = model.answer_tokens(prompts[0], ["9"])[0]
    p = [np.exp(x - x.max(-1, keepdims=True)) for x in np.float64(logits)]
    effects = [(x / x.sum(-1, keepdims=True))[:, nine] @ [-1, 1] for x in p]
    assert row["effect"] == pytest.approx(np.mean(effects), abs=1e-4)
    again = cw.patch_sweep(model, GROUPS, saes, arms=("baseline", "noop", "patch"), workdir=tmp_path, **arguments)
    assert again.equals(table)
