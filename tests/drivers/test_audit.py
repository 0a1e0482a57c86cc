"""`causeway audit` from the command line: the file, the screen, the status."""

import json
import re

import pytest

from tests.simulated_study import simulated_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return simulated_study(tmp_path_factory.mktemp("study") / "results", features=12, trials=10)


def test_a_whole_study_is_validated_on_one_screen_and_not_written_over(study, drive, tmp_path):
    flags = (f"--results={study.folder}", f"--out={tmp_path / 'audit'}")
    ran, again, over = drive("audit", flags, flags, (*flags, "--overwrite"))
    assert (ran["status"], again["status"], over["status"]) == (0, 2, 0)
    report = json.loads((tmp_path / "audit" / "data_validation.json").read_text())
    assert report["validated"] is True
    assert set(report) > {"causal_by_layer", "joinable_features", "failures", "warnings", "calibration"}
    assert len(ran["out"].splitlines()) < 24
    assert "give another folder or --overwrite" in again["err"]
    assert not ran["compiled"]


def test_a_failed_check_is_written_and_ends_with_status_1(study, drive, tmp_path):
    folder = tmp_path / "bad"
    (folder / "response_logs").mkdir(parents=True)
    for path in study.folder.glob("checkpoint_*"):
        (folder / path.name).write_bytes(path.read_bytes())
    for path in (study.folder / "response_logs").iterdir():
        kept = [entry for entry in json.loads(path.read_text()) if entry["condition"] != "safe_with_risky_patch"]
        (folder / "response_logs" / path.name).write_text(json.dumps(kept))
    (ran,) = drive("audit", (f"--results={folder}", f"--out={tmp_path / 'audit'}"))
    assert ran["status"] == 1
    assert "FAILED: 12 features" in ran["out"]
    report = json.loads((tmp_path / "audit" / "data_validation.json").read_text())
    assert report["validated"] is False
    assert len(report["missing"]) == 12


REFUSALS = {
    "no folder": ((), "--results: got nothing; needs the folder of an earlier study's results"),
    "nothing there": (("--results={tmp}",), "--results: .*holds no checkpoint_"),
    "malformed": (("--results={tmp}/malformed",), "--results: .*checkpoint_L1_2_0_x.json: not JSON .*line 1"),
}


def test_bad_input_is_refused_with_one_line_and_nothing_written(drive, tmp_path):
    (tmp_path / "malformed").mkdir()
    (tmp_path / "malformed" / "checkpoint_L1_2_0_x.json").write_text("{")
    out = f"--out={tmp_path / 'audit'}"
    runs = [[flag.format(tmp=tmp_path) for flag in flags] + [out] for flags, _ in REFUSALS.values()]
    for ran, (_, message) in zip(drive("audit", *runs), REFUSALS.values(), strict=True):
        assert ran["status"] == 2
        assert len(ran["err"].splitlines()) == 1
        assert re.search(message, ran["err"])
    assert not (tmp_path / "audit").exists()
