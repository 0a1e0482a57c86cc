"""`causeway represent` on the bundled model: its files, that they are read by others, and its refusals."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from causeway.ports.results.representation_files import read_representations


@pytest.fixture(scope="module")
def place(drive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("represent")
    (made,) = drive(
        "prompts",
        [f"--out={folder / 'prompts'}", "--behaviours=bundled_agreement,bundled_addition", "--train=6", "--test=4"],
    )
    assert made["status"] == 0, made["err"]
    return folder


@pytest.mark.slow
def test_prompts_are_represented_and_their_metadata_are_prompts_again(drive, place):
    given, out = f"--prompts={place / 'prompts'}", place / "out"
    found, again, refused, resumed, other = drive(
        "represent",
        [given, f"--out={out}", "--generate", "--max_new_tokens=5", "--record_logits=3", "--full"],
        [f"--prompts={out / 'metadata.jsonl'}", f"--out={place / 'again'}", f"--workdir={place / 'work'}"],
        [given, f"--out={out}"],
        [f"--prompts={out / 'metadata.jsonl'}", f"--out={place / 'again'}", f"--workdir={place / 'work'}"],
        [given, f"--out={out}", "--overwrite", "--stream=resid_post.1", "--position=-2", "--splits=test"],
    )
    assert [r["status"] for r in (found, again, refused, resumed)] == [0, 0, 2, 0], [found["err"], again["err"]]
    assert "represent.json is there already; give another folder or --overwrite" in refused["err"]
    assert "the stream at all tokens takes up to" in found["out"]
    assert "20 prompts: 20 right, 0 wrong; 10 by generated, 10 by margin" in found["out"]
    assert resumed["compiled"] == []
    first, second = read_representations(place / "again"), read_representations(out)
    assert first.vectors.shape == (20, 128)
    assert "generated" not in first.records[0].fields
    assert first.records[0].fields["label_source"] == "margin"
    # What was there of the other run is gone.
    assert other["status"] == 0, other["err"]
    assert (second.stream, second.layer, len(second.records)) == ("resid_post", 1, 8)
    assert {record.fields["prompt_tokens"] - record.fields["position"] for record in second.records} == {2}
    assert not (out / "residuals.zarr").exists()
    assert not (out / "top_logits.parquet").exists()
    (scored,) = drive("evaluate", [f"--prompts={place / 'again' / 'metadata.jsonl'}", f"--out={place / 'baseline'}"])
    assert scored["status"] == 0, scored["err"]
    metrics = json.loads((place / "baseline" / "baseline_metrics_test.json").read_text())["behaviours"]
    mean = {
        name: np.mean([r.fields["margin"] for r in first.records if (r.behaviour, r.split) == (name, "test")])
        for name in metrics
    }
    assert {name: found["difference"]["mean"] for name, found in metrics.items()} == pytest.approx(mean, abs=1e-4)


@pytest.mark.slow
def test_prompts_without_answers_have_no_labels(drive, place):
    path = place / "plain.jsonl"
    path.write_text('{"text": "today the key"}\n{"text": "44+95="}\n')
    (found,) = drive("represent", [f"--prompts={path}", f"--out={place / 'plain'}", "--generate", "--record_logits=2"])
    assert "2 prompts: 0 right, 0 wrong; none labelled" in found["out"]
    records = read_representations(place / "plain").records
    assert records[1].fields["generated"].startswith("139")
    table = pq.read_table(place / "plain" / "top_logits.parquet")
    assert table.column_names == ["prompt", "id", "step", "rank", "token", "text", "logit"]
    assert set(table["id"].to_pylist()) == {"plain-1", "plain-2"}


def test_bad_input_is_one_line(drive, place):
    path = place / "one.jsonl"
    line = {"prompt": "44+95=", "correct_answer": "139.", "incorrect_answer": "138.", "final_answer": "x"}
    path.write_text(json.dumps(line) + "\n")
    given = [f"--prompts={path}", f"--out={place / 'refused'}"]
    cases = {
        "--prompts: got nothing": given[1:],
        "--stream: got 'resid_post'; needs final_norm, or resid_post of one layer": [*given, "--stream=resid_post"],
        "position: '-99' is outside a prompt of": [*given, "--position=-99"],
        "--max_new_tokens, --record_logits: without effect without --generate": [
            *given, "--record_logits=2", "--max_new_tokens=3",
        ],
        "has 'x'; scoring by generation needs a number": [*given, "--generate"],
        "got 9999; the vocabulary has": [*given, "--generate", "--record_logits=9999"],
        "--layers: without effect where the model alone is asked": [*given, "--layers=1"],
        "exceed the context": [f"--prompts={place / 'prompts'}", given[1], "--generate", "--max_new_tokens=9999"],
    }  # fmt: skip
    for message, result in zip(cases, drive("represent", *cases.values()), strict=True):
        assert result["status"] == 2, message
        assert message in result["err"]
        assert "Traceback" not in result["err"]
        assert not any("_reduced" in name for name in result["compiled"])
    assert not (place / "refused").exists()
