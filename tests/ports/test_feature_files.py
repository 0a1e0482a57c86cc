"""Feature files hold what was extracted, and are never written over; prompts are read from any JSONL."""

import json

import numpy as np
import pytest

from causeway.engine.features.extract import LayerFeatures
from causeway.ports import feature_files
from causeway.ports.feature_prompts import read_sets


@pytest.fixture
def found():
    rng = np.random.default_rng(0)
    any_ = rng.random(7) * (np.arange(7) != 4)
    return LayerFeatures(3, rng.integers(0, 7, (5, 2)).astype(np.int32), rng.random((5, 2), np.float32), any_, any_ / 2,
                         any_ / 3, np.array([4, 2]), np.array([1.5, 0.5]))  # fmt: skip


def test_arrays_and_figures_come_back(tmp_path, found):
    feature_files.write_layer(tmp_path, "sums", "test", found, {"stream": "mlp_in"})
    samples = np.array([[0, 1], [0, 2], [1, 1], [1, 2], [1, 3]])
    feature_files.write_summary(tmp_path, "sums", "test", samples, {"prompts": 2})
    place = tmp_path / "layer_3"
    np.testing.assert_array_equal(np.load(place / "sums_test_top_k_indices.npy"), found.ids)
    np.testing.assert_array_equal(np.load(place / "sums_test_top_k_values.npy"), found.values)
    np.testing.assert_allclose(np.load(place / "sums_test_feature_frequencies.npy"), found.any, rtol=1e-6)
    np.testing.assert_array_equal(np.load(tmp_path / "sums_test_samples.npy"), samples)
    meta = json.loads((place / "sums_test_layer_meta.json").read_text())
    assert (meta["stream"], meta["layer"], meta["ever_active"], meta["active_a_token"]) == ("mlp_in", 3, 6, 1.0)
    assert meta["most_frequent"][0]["feature"] == found.any.argmax()
    assert json.loads((tmp_path / "sums_test_summary.json").read_text()) == {"prompts": 2}


def test_what_is_there_is_not_written_over(tmp_path, found):
    feature_files.check_absent(tmp_path, "sums", "test")
    feature_files.write_layer(tmp_path, "sums", "test", found, {})
    with pytest.raises(ValueError, match=r"layer_3/sums_test_layer_meta\.json is there already"):
        feature_files.check_absent(tmp_path, "sums", "test")
    feature_files.check_absent(tmp_path, "sums", "train")


def test_all_activations_are_there_once_they_are_whole(tmp_path):
    path = tmp_path / "layer_0" / "sums_test_full_activations.npy"
    with feature_files.full_arrays(tmp_path, "sums", "test", (0, 1), (4, 3)) as arrays:
        arrays[0][:] = 2
        assert not path.exists()
    np.testing.assert_array_equal(np.load(path), np.full((4, 3), 2, np.float32))
    with pytest.raises(KeyError), feature_files.full_arrays(tmp_path, "sums", "train", (0,), (4, 3)):
        raise KeyError
    assert not list(tmp_path.glob("layer_0/*train*"))


def test_prompts_of_several_sets(tmp_path):
    lines = [{"prompt": "a"}, {"tokens": [1, 2], "split": "train"}, {"prompt": "b", "behaviour": "x", "id": "mine"}]
    path = tmp_path / "file.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    sets, bad = read_sets([str(path)])
    assert not bad
    assert {key: [r["id"] for r in records] for key, records in sets.items()} == {
        ("file", "all"): ["file:1"], ("file", "train"): ["file:2"], ("x", "all"): ["mine"],
    }  # fmt: skip
    assert list(read_sets([str(path)], behaviours=["x"])[0]) == [("x", "all")]
    with pytest.raises(ValueError, match="none of that in the files, which have file all, file train, x all"):
        read_sets([str(path)], splits=["test"])
    path.write_text(path.read_text() + '{"prompt": ""}\n')
    with pytest.raises(ValueError, match="line 4: prompt: missing"):
        read_sets([str(path)])
    assert len(read_sets([str(path)], skip_bad=True)[1]) == 1
