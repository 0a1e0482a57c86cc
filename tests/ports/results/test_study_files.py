"""A study's files give back what was done, whatever layout they have, and what is not one study is refused."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.as_published.causal_rule import original_rule
from causeway.engine.earlier_results import FEATURES, RESPONSES, feature_names
from causeway.ports.results.study_files import read_earlier
from tests.simulated_study import simulated_study

SAME = ("layer", "feature", "arm", "condition", "trial", "response", "amount")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return simulated_study(tmp_path_factory.mktemp("study") / "results", features=24, causal=0.3)


@pytest.fixture
def copy(study, tmp_path):
    """A folder of the same files, to be damaged."""
    return shutil.copytree(study.folder, tmp_path / "copy")


def edit(path, change):
    """A JSON file, changed."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=1))


def first(folder, pattern):
    return sorted(folder.glob(pattern))[0]


def test_every_response_is_read_as_it_was_given(study):
    responses, trials = read_earlier(study.folder).responses, study.trials
    assert responses.schema.equals(RESPONSES)
    for name in SAME:
        assert responses[name].to_pylist() == trials[name].to_pylist(), name
    assert responses["context"].to_pylist() == trials["group"].to_pylist() == responses["prompt"].to_pylist()
    assert responses["valid"].to_pylist() == [action != "invalid" for action in trials["action"].to_pylist()]


def test_every_decision_is_read_as_it_was_taken(study):
    features, decided = read_earlier(study.folder).features, original_rule(study.trials)
    assert features.schema.equals(FEATURES)
    assert list(zip(*(features[n].to_pylist() for n in ("layer", "feature")), strict=True)) == list(study.pairs)
    for context in ("safe", "risky"):
        assert features[f"is_causal_{context}"].to_pylist() == decided[f"original_is_causal_{context}"].to_pylist()
        assert features[f"p_{context}"].to_pylist() == decided[f"original_{context}_p_value"].to_pylist()
    either = [a or b for a, b in zip(*(features[f"is_causal_{c}"].to_pylist() for c in ("safe", "risky")), strict=True)]
    assert features["is_causal"].to_pylist() == either
    assert set(either) == {True, False}


def test_the_effect_is_the_larger_of_both_contexts_and_its_p_counts_both(study):
    for row in read_earlier(study.folder).features.to_pylist():
        context = max(("safe", "risky"), key=lambda name: abs(row[f"effect_{name}"]))
        assert row["effect"] == row[f"effect_{context}"]
        assert row["p"] == min(1, 2 * row[f"p_{context}"])
        assert row["contrast"] == f"patch:{context} - baseline"


def test_both_layouts_of_causality_say_the_same(study, tmp_path):
    flat = simulated_study(tmp_path / "flat", features=24, causal=0.3, layout="flat")
    nested, other = read_earlier(study.folder).features, read_earlier(flat.folder).features
    assert nested["is_causal"].to_pylist() == other["is_causal"].to_pylist()
    assert other["is_causal_safe"].null_count == other.num_rows


def test_without_the_contexts_the_interpretation_decides(copy):
    def interpretation_alone(content):
        for n, result in enumerate(content["results"]):
            result["causality"] = {"interpretation": "safe_context_causal" if n % 2 else "no_causal_effect"}
            del result["cohen_d"]

    for path in copy.glob("checkpoint_*"):
        edit(path, interpretation_alone)
    features = read_earlier(copy).features
    assert features["is_causal"].to_pylist() == [False, True] * 12
    assert features["cohen_d"].null_count == 24


def test_several_files_are_one_table_with_one_dictionary_a_column(study):
    responses = read_earlier(study.folder).responses
    for field in RESPONSES:
        if pa.types.is_dictionary(field.type):
            assert len({str(chunk.dictionary) for chunk in responses[field.name].chunks}) == 1
    assert len(responses["source"].unique()) == 2


def test_a_trial_that_a_resumed_run_repeats_is_kept_once_and_listed(copy, study):
    path = first(copy, "response_logs/*")
    again = json.loads(path.read_text())[:7]
    for entry in again[:3]:
        entry["response"] = "something else"
    later = path.with_name(path.name.replace("_0_2025", "_0_2026"))
    later.write_text(json.dumps(again))
    found = read_earlier(copy)
    assert found.responses["response"].to_pylist() == study.trials["response"].to_pylist()
    assert found.repeated["trial"].to_pylist() == [entry["trial"] for entry in again]
    assert found.repeated["same"].to_pylist() == [False] * 3 + [True] * 4
    assert set(found.repeated["source"].to_pylist()) == {f"response_logs/{later.name}"}


def test_a_feature_decided_twice_alike_is_kept_and_otherwise_listed(copy):
    path = first(copy, "checkpoint_*")
    later = path.with_name(path.name.replace("_0_2025", "_0_2026"))
    later.write_text(path.read_text())
    assert not read_earlier(copy).conflicting
    edit(later, lambda content: content["results"][2].update(cohen_d=9.0))
    found = read_earlier(copy)
    assert list(found.conflicting) == [feature_names(found.features)[2]]
    assert found.features["cohen_d"][2].as_py() != 9.0


def line(**other):
    return {
        "feature_name": "L29-2374", "layer": 29, "feature_id": 2374, "feature_type": "risky",
        "patch_condition": "risky_patch", "patch_value": 1.5, "prompt_type": "safe", "trial": 0, "response": "2) Stop",
        "action": "stop", "bet_amount": None, "is_stop": True, "is_valid": True, "parse_method": "v2",
    } | other  # fmt: skip


def test_the_later_logs_in_json_lines_are_read_with_the_values_of_their_patches(tmp_path):
    lines = [
        line(),
        line(patch_condition="baseline", patch_value=None),
        line(patch_condition="safe_patch", patch_value=0.25),
    ]
    (tmp_path / "patching_265_200_gpu0.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    found = read_earlier(tmp_path)
    assert found.responses["condition"].to_pylist() == [
        "safe_with_risky_patch",
        "safe_baseline",
        "safe_with_safe_patch",
    ]
    assert found.responses["arm"].to_pylist() == ["patch:risky", "baseline", "patch:safe"]
    (row,) = found.features.to_pylist()
    assert (row["value_risky"], row["value_safe"], row["is_causal"], row["cohen_d"]) == (1.5, 0.25, None, None)


BAD_RESPONSES = {
    "a feature without a name": ({"feature": "29-2374"}, r"entry 2: feature: got '29-2374'; needs a name such as"),
    "a condition without a name": ({"condition": "safe"}, r"entry 2: condition: got 'safe'; needs .* safe_baseline"),
    "no response": ({"response": None}, r"entry 2: response: got None; needs a text"),
    "half a trial": ({"trial": 0.5}, r"entry 2: trial: got 0.5; needs a whole number"),
    "a bet in words": ({"parsed": {"bet": "ten"}}, r"entry 2: bet: got 'ten'; needs a finite number"),
    "a list for what was parsed": ({"parsed": [1]}, r"entry 2: parsed: got \[1\]; needs an object"),
}


@pytest.mark.parametrize("case", BAD_RESPONSES)
def test_a_bad_response_is_refused_with_its_file_and_entry(copy, case):
    change, message = BAD_RESPONSES[case]
    path = first(copy, "response_logs/*")
    edit(path, lambda content: content[1].update(change))
    with pytest.raises(ValueError, match=rf"{path.name} {message}"):
        read_earlier(copy)


BAD_RESULTS = {
    "no causality": (lambda r: r.pop("causality"), "result 3: L.* has neither causality nor is_causal"),
    "another layer": (lambda r: r.update(layer=77), "result 3: layer: got 77, but it is called L"),
    "both layouts at odds": (
        lambda r: r.update(is_causal=not any(r["causality"][f"is_causal_{c}"] for c in ("safe", "risky"))),
        "result 3: .*is_causal is .*, but its causality says",
    ),
    "a text for d": (lambda r: r.update(cohen_d="large"), "result 3: cohen_d: got 'large'; needs a finite number"),
    "another layout": (lambda r: r.pop("cohen_d"), "result 3: has causality and no cohen_d, where result 1 has"),
}


@pytest.mark.parametrize("case", BAD_RESULTS)
def test_a_bad_result_is_refused_with_its_file_and_number(copy, case):
    change, message = BAD_RESULTS[case]
    path = first(copy, "checkpoint_*")
    edit(path, lambda content: change(content["results"][2]))
    with pytest.raises(ValueError, match=rf"{path.name} {message}"):
        read_earlier(copy)


def test_malformed_json_is_refused_with_its_line(copy):
    path = first(copy, "checkpoint_*")
    path.write_text(path.read_text().replace('"gpu_id": 0,', '"gpu_id": 0', 1))
    with pytest.raises(ValueError, match=rf"{path.name}: not JSON .*line 4"):
        read_earlier(copy)


def test_a_malformed_line_is_refused_with_its_number(tmp_path):
    path = tmp_path / "patching_265_200_gpu0.jsonl"
    path.write_text(json.dumps(line()) + "\n{\n")
    with pytest.raises(ValueError, match=rf"{path.name} line 2: not JSON"):
        read_earlier(tmp_path)


def test_a_value_that_changes_within_a_log_is_refused(tmp_path):
    path = tmp_path / "patching_265_200_gpu0.jsonl"
    path.write_text(json.dumps(line()) + "\n" + json.dumps(line(patch_value=2.0)) + "\n")
    with pytest.raises(ValueError, match=r"line 2: patch_value: got 2, where it was 1.5 before"):
        read_earlier(tmp_path)


MIXED = {
    "trials": (lambda c: c.update(n_trials_per_condition=50), "n_trials_per_condition is 30 in .* and 50 in"),
    "model": (lambda c: c.update(model="another"), "model is not told in .* and another in"),
    "layout": (lambda c: [r.pop("cohen_d") for r in c["results"]], "layout is causality and cohen_d in .* and caus"),
}


@pytest.mark.parametrize("case", MIXED)
def test_two_studies_in_one_folder_are_refused(copy, case):
    change, message = MIXED[case]
    edit(sorted(copy.glob("checkpoint_*"))[1], change)
    with pytest.raises(ValueError, match=f"holds results of more than one study .{message}"):
        read_earlier(copy)


def test_logs_of_two_layouts_are_two_studies(copy):
    (copy / "patching_265_200_gpu0.jsonl").write_text(json.dumps(line()) + "\n")
    with pytest.raises(ValueError, match=r"more than one study .responses_.* and patching_.* are logs of two layouts"):
        read_earlier(copy)


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no checkpoint_"):
        read_earlier(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_earlier(tmp_path / "nowhere")


def test_a_study_without_logs_has_no_responses_and_one_without_checkpoints_nothing_decided(copy, study):
    for path in copy.glob("checkpoint_*"):
        path.unlink()
    found = read_earlier(copy)
    assert found.features.num_rows == found.features["is_causal"].null_count == 24
    other = study.folder.parent / "decided"
    other.mkdir()
    for path in study.folder.glob("checkpoint_*"):
        (other / path.name).write_text(path.read_text())
    assert read_earlier(other).responses.num_rows == 0
    assert np.any(read_earlier(other).features["is_causal"])


def test_answers_that_were_parsed_again_are_decided_again_without_cohen_d(study, tmp_path):
    results = [r for path in sorted(study.folder.glob("checkpoint_*")) for r in json.loads(path.read_text())["results"]]
    again = [{name: value for name, value in result.items() if name != "cohen_d"} for result in results]
    causal = [r for r in again if r["causality"]["interpretation"] != "no_causal_effect"]
    folder = tmp_path / "reparsed"
    folder.mkdir()
    (folder / "reparsed_all_features_20251125_043558.json").write_text(json.dumps({"results": again}))
    whole = read_earlier(folder)
    (folder / "reparsed_causal_features_20251125_043558.json").write_text(json.dumps({"causal_features": causal}))
    both = read_earlier(folder)
    original = read_earlier(study.folder).features
    assert whole.features["is_causal"].to_pylist() == both.features["is_causal"].to_pylist()
    assert whole.features["is_causal"].to_pylist() == original["is_causal"].to_pylist()
    assert whole.features["cohen_d"].null_count == 24
    # They were decided by the second version of the rule, whose large bets are $20 and more.
    assert set(whole.features["outcome"].to_pylist()) <= {"stop", "bet above 19"}
    assert set(original["outcome"].to_pylist()) <= {"stop", "bet above 15"}
    assert not both.conflicting
    shutil.copy(first(study.folder, "checkpoint_*"), folder)
    with pytest.raises(ValueError, match=r"holds results of more than one study .layout is"):
        read_earlier(folder)


def test_later_checkpoints_of_a_part_of_the_run_count_its_features_once(copy):
    path = first(copy, "checkpoint_*")
    content = json.loads(path.read_text())
    earlier = content | {"results": content["results"][:5], "features_tested": 5}
    path.with_name(path.name.replace("_0_2025", "_0_2024")).write_text(json.dumps(earlier))
    found = read_earlier(copy)
    assert found.about["features_tested"] == found.features.num_rows == 24
