"""The study's screen files say what was put into them, and nothing in them is unpickled."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from causeway.ports.results.screen_files import read_screen

FIELDS = ("cohen_d", "p_values", "bankrupt_mean", "safe_mean", "bankrupt_std", "safe_std")


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    found = {}
    for layer, count in ((25, 4), (31, 3)):
        found[f"layer_{layer}_indices"] = rng.choice(32768, count, replace=False)
        found |= {f"layer_{layer}_{name}": rng.random(count) for name in FIELDS}
    return found


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_gives_features_with_d_and_the_means_as_values(arrays, tmp_path, save):
    save(tmp_path / "screen.npz", **arrays)
    table = read_screen(tmp_path / "screen.npz")
    assert table["layer"].to_pylist() == [25] * 4 + [31] * 3
    for column, field in (("feature", "indices"), ("cohen_d", "cohen_d"), ("p", "p_values"),
                          ("value_risky", "bankrupt_mean"), ("value_safe", "safe_mean")):  # fmt: skip
        wanted = np.concatenate([arrays[f"layer_{layer}_{field}"] for layer in (25, 31)])
        np.testing.assert_array_equal(table[column].to_numpy(), wanted)


def converted(arrays):
    layers = {}
    for layer in (25, 31):
        ids = arrays[f"layer_{layer}_indices"]
        listed = [
            {"feature_idx": int(ids[i]), "p_value": 1e-4,
             **{name: float(arrays[f"layer_{layer}_{name}"][i]) for name in FIELDS if name != "p_values"}}
            for i in range(len(ids))
        ]  # fmt: skip
        layers[str(layer)] = {"layer": layer, "n_features": 32768, "significant_features": listed}
    return {"total_layers": 31, "layer_results": layers}


def test_the_converted_json_says_the_same(arrays, tmp_path):
    (tmp_path / "L1_31_features_CONVERTED_20251111.json").write_text(json.dumps(converted(arrays)))
    np.savez(tmp_path / "screen.npz", **arrays)
    one = read_screen(tmp_path / "L1_31_features_CONVERTED_20251111.json")
    other = read_screen(tmp_path / "screen.npz")
    names = ["layer", "feature", "cohen_d", "value_safe", "value_risky"]
    for name in names:
        np.testing.assert_array_equal(one[name].to_numpy(), other[name].to_numpy())


def test_a_screens_own_table_is_read_as_it_is(tmp_path):
    table = pa.table({"layer": [1], "feature": [2], "d": [0.5]})
    pq.write_table(table, tmp_path / "screen.parquet")
    assert read_screen(tmp_path / "screen.parquet").equals(table)


def test_objects_are_refused_without_unpickling(tmp_path):
    np.savez(tmp_path / "screen.npz", layer_25_indices=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="Python objects, which need a pickle; refusing"):
        read_screen(tmp_path / "screen.npz")


def test_arrays_that_differ_in_length_are_refused(arrays, tmp_path):
    np.savez(tmp_path / "screen.npz", **arrays | {"layer_31_cohen_d": np.zeros(2)})
    with pytest.raises(ValueError, match=r"arrays layer_31_\* differ in length"):
        read_screen(tmp_path / "screen.npz")
    np.savez(tmp_path / "other.npz", cohen_d=np.zeros(2))
    with pytest.raises(ValueError, match="has no array layer_N_indices; it has cohen_d"):
        read_screen(tmp_path / "other.npz")


BAD = {
    "no results": (lambda c: c.pop("layer_results"), "has no object `layer_results`"),
    "no list": (lambda c: c["layer_results"]["25"].pop("significant_features"), "layer 25: not a readable layer"),
    "no number": (
        lambda c: c["layer_results"]["25"]["significant_features"][1].update(cohen_d="large"),
        "layer 25 entry 2: cohen_d: got 'large'; needs a finite number",
    ),
    "no feature": (
        lambda c: c["layer_results"]["31"]["significant_features"][0].pop("feature_idx"),
        "layer 31 entry 1: feature_idx: got None",
    ),
    "a name": (
        lambda c: c["layer_results"].update(first=c["layer_results"]["25"]),
        "layer first entry 1: layer: got 'first'; needs a number",
    ),
    "nothing": (lambda c: c["layer_results"].clear(), "has no feature"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_entry_is_refused_with_its_layer_and_number(arrays, tmp_path, case):
    change, message = BAD[case]
    content = converted(arrays)
    change(content)
    (tmp_path / "screen.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_screen(tmp_path / "screen.json")
