"""`causeway tokens` on a simulated study in the published layout and on a sweep of ours, and its refusals."""

import json

import pyarrow.parquet as pq
import pytest

from tests.simulated_study import simulated_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return simulated_study(tmp_path_factory.mktemp("tokens") / "study", features=24, wordy=0.25, causal=0.0, seed=3)


def test_true_words_are_found_in_the_published_layout(drive, study, tmp_path):
    out = tmp_path / "out"
    found, refused = drive("tokens", [f"--results={study.folder}", f"--out={out}"], [f"--results={study.folder}",
                           f"--out={out}"])  # fmt: skip
    assert [found["status"], refused["status"]] == [0, 2], found["err"]
    assert "tokens.json is there already; give another folder or --overwrite" in refused["err"]
    effects = json.loads((out / "feature_word_effects_patch_risky_vs_baseline.json").read_text())
    assert {name: {row["word"] for row in lists["adds"]} for name, lists in effects.items()} == {
        name: {word} for name, word in study.words.items()
    }
    assert json.loads((out / "feature_word_effects_patch_safe_vs_baseline.json").read_text()) == {}
    entries = json.loads((out / "token_associations.json").read_text())
    own = [row for name, word in study.words.items() for row in entries[name] if row["token"] == word]
    keys = {"token", "token_id", "odds_ratio", "p_value", "baseline_count", "patched_count"}
    assert all(keys <= set(row) for row in own)
    assert len(own) == 2 * len(study.words)
    about = json.loads((out / "tokens.json").read_text())
    assert "the strongest effects by parser recorded" in found["out"]
    assert {*about["effects_by_parser"]["effects"][0]["parsers"]} == {"recorded", "three_state", "v1", "v2", "v3"}
    assert about["contexts"] == {name: {"prompts": 1, "unit": "response"} for name in ("risky", "safe")}
    outcomes = pq.read_table(out / "outcomes.parquet").to_pylist()
    assert {row["parser"] for row in outcomes} == {"recorded", "three_state", "v1", "v2", "v3", ""}
    assert len(outcomes) == 24 * 4 * (5 * 4 + 1)


@pytest.mark.slow
def test_tokens_of_a_sweep_are_paired_over_its_prompts(drive, tmp_path):
    screen = ["--states=12", f"--out={tmp_path / 'screen'}"]
    prompts = f"--prompts={tmp_path / 'screen' / 'prompts.jsonl'}"
    sweep = [prompts, f"--features={tmp_path / 'screen' / 'screen.parquet'}", "--limit_features=2", "--trials=2",
             "--outcome=sampled", "--max_new_tokens=8", f"--workdir={tmp_path / 'sweep'}"]  # fmt: skip
    assert [drive(name, flags)[0]["status"] for name, flags in (("screen", screen), ("patch_sweep", sweep))] == [0, 0]
    asked = [f"--results={tmp_path / 'sweep'}", prompts, "--model=bundled:tiny", "--until_decision"]
    (found,) = drive("tokens", [*asked, f"--out={tmp_path / 'out'}"])
    assert found["status"] == 0, found["err"]
    assert "12 prompts, tested over prompts" in found["out"]
    # The game's prompts tell their menu.
    assert "amounts of v2 and v3 are left out" not in found["out"]
    (refused,) = drive("tokens", [*asked, f"--out={tmp_path / 'other'}", "--exact_test=mid_p"])
    assert (refused["status"], refused["err"].count("\n")) == (2, 1)
    assert "exact_test: got mid_p; arms are paired by prompt" in refused["err"]
    table = pq.read_table(tmp_path / "out" / "associations.parquet")
    about = json.loads((tmp_path / "out" / "tokens.json").read_text())
    assert (about["menus"], about["responses_of_unknown_menu"]) == ("the prompts' answers", 0)
    assert len(about["inputs"]["results"]["files"]) == len(about["files"])
    assert len(about["model_fingerprint"]) == len(about["dictionaries_fingerprint"]) == 64
    assert set(table["unit"].to_pylist()) == {"token", "word", "word_group"}
    assert all((token is None) == (unit != "token") for token, unit in
               zip(table["token_id"].to_pylist(), table["unit"].to_pylist(), strict=True))  # fmt: skip


@pytest.mark.slow
def test_refusals(drive, study, tmp_path):
    base = [f"--results={study.folder}", f"--out={tmp_path / 'out'}"]
    cases = {
        "--results: got nothing": [f"--out={tmp_path / 'out'}"],
        "--parser: without effect without --until_decision": [*base, "--parser=v1"],
        "--chat: without effect where the texts of prompts alone are asked": [*base, "--chat"],
        "--units: got token without a model": [*base, "--units=token"],
        "--units: got 'letters'; needs some of token, word, word_group": [*base, "--units=letters"],
        "--reference: got 'noop'; the responses have baseline": [*base, "--reference=noop"],
        "--model: its tokenizer does not know": [*base, "--model=bundled:tiny"],
    }
    for text, flags in cases.items():
        (found,) = drive("tokens", flags)
        assert (found["status"], text in found["err"]) == (2, True), found["err"]
        assert found["err"].count("\n") == 1
    assert not (tmp_path / "out").exists()
