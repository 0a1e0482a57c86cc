"""`causeway virtual_weights`: raw and weighted, and its refusals."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from causeway.ports.dictionaries.load import load_dictionaries


@pytest.mark.slow
def test_tables_and_refusals(drive, small, tmp_path):
    base = ["--model", small / "model", "--dictionaries", small / "saes", "--source_layer", "0", "--keep", "4"]
    up = [*base, "--target_layer", "2"]
    texts = tmp_path / "texts.txt"
    texts.write_text("you won $5. choice: stop\nyou lost. choice: bet $10.\n")
    raw, era, *refused = drive(
        "virtual_weights",
        [*up, "--out", tmp_path / "raw"],
        [*up, "--out", tmp_path / "era", "--weighting", "era", "--data", texts],
        [*up, "--out", tmp_path / "raw"],
        [*up],
        [*base, "--out", tmp_path / "x"],
        [*base, "--target_layer", "1", "--out", tmp_path / "x"],
        [*up, "--out", tmp_path / "x", "--weighting", "twera"],
    )  # fmt: skip
    assert (raw["status"], era["status"]) == (0, 0), raw["err"] + era["err"]
    saes = load_dictionaries(small / "saes")
    dense = np.asarray(saes.W_enc[...])[1].T @ np.asarray(saes.W_dec[...])[0].T
    rows = pq.read_table(tmp_path / "raw" / "virtual_weights.parquet").to_pylist()
    assert len(rows) == 24 * 4
    target, source = np.unravel_index(np.abs(dense).argmax(), dense.shape)
    assert f"feature {target:>6} of layer 2 reads {source:>6} of layer 0: {dense[target, source]:+.4f}" in raw["out"]
    assert "SAEs: how far a feature reads the direction" in raw["out"]
    said = pq.read_schema(tmp_path / "raw" / "virtual_weights.parquet").metadata[b"weight"]
    assert said.startswith(b"SAEs: how far")
    for row in rows:
        assert row["weight"] == pytest.approx(dense[row["target"], row["source"]], abs=1e-5)
        size = np.sort(abs(dense[row["target"]]))[-1 - row["rank"]]
        assert abs(row["weight"]) == pytest.approx(size, abs=1e-5)
    assert 0 < pq.read_metadata(tmp_path / "era" / "virtual_weights.parquet").num_rows <= 24 * 4
    expected = ("is there already", "--out: got nothing", "--target_layer: needs both", "layer 1 has no", "--data:")
    for run, message in zip(refused, expected, strict=True):
        assert run["status"] == 2
        assert message in run["err"]
    assert not (tmp_path / "x").exists()
