"""`causeway demo` on the bundled model, smaller than by default."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

BUNDLED = Path(__file__).resolve().parents[2] / "ports" / "bundled" / "tiny"


@pytest.mark.slow
def test_the_demo_tells_what_it_found_and_resumes(drive, tmp_path):
    if not (BUNDLED / "saes").is_dir():
        pytest.skip("bundled:tiny has no SAEs yet; train_dictionary makes them")
    small = (f"--workdir={tmp_path / 'demo'}", "--prompts=8", "--per_layer=4")
    first, again = drive("demo", small, small)
    for run in (first, again):
        assert run["status"] == 0, run["err"]
        assert "features differ most" in run["out"]
        assert "p_stop" in run["out"]
        assert str(tmp_path / "demo") in run["out"]
    assert not {"edited_answers", "decode_segment"} & set(again["compiled"])
    for outcome in ("exact", "sampled"):
        workdir = tmp_path / "demo" / outcome
        summary = json.loads((workdir / "summary.json").read_text())
        assert summary["prompts"].keys() == {"safe", "risky"}
        conditions = set(pq.read_table(workdir / "trials.parquet", columns=["condition"])["condition"].to_pylist())
        assert {f"{a}_with_{b}_patch" for a in ("safe", "risky") for b in ("safe", "risky")} <= conditions
        assert {"safe_baseline", "risky_baseline"} <= conditions


def test_flags_out_of_range_are_refused(drive):
    few, unknown = drive("demo", ("--prompts=2",), ("--per_layer=5", "now"))
    assert (few["status"], unknown["status"]) == (2, 2)
    assert "--prompts=2" in few["err"]
    assert "unknown arguments: now" in unknown["err"]
