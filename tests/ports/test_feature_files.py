"""Feature files hold what was extracted; a whole set is refused, what a killed run left is replaced."""

import json

import numpy as np
import pytest

from causeway.engine.features.extract import LayerFeatures
from causeway.ports import feature_files


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
    feature_files.write_summary(tmp_path, "sums", "test", np.zeros((5, 2)), {})
    with pytest.raises(ValueError, match=r"sums_test_summary\.json is there already.* --overwrite"):
        feature_files.check_absent(tmp_path, "sums", "test")
    feature_files.check_absent(tmp_path, "sums", "train")


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path, found):
    for split in ("test", "test_b"):
        feature_files.write_layer(tmp_path, "sums", split, found, {})
    feature_files.write_summary(tmp_path, "sums", "test_b", np.zeros((5, 2)), {})
    (tmp_path / "layer_3" / ".sums_test_full_activations.npy.tmp").write_bytes(b"half")
    feature_files.check_absent(tmp_path, "sums", "test")
    feature_files.remove(tmp_path, "sums", "test")
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert len(left) == 8
    assert all("sums_test_b_" in name for name in left)


def test_all_activations_are_there_once_they_are_whole(tmp_path):
    path = tmp_path / "layer_0" / "sums_test_full_activations.npy"
    with feature_files.full_arrays(tmp_path, "sums", "test", (0, 1), (4, 3)) as arrays:
        arrays[0][:] = 2
        assert not path.exists()
    np.testing.assert_array_equal(np.load(path), np.full((4, 3), 2, np.float32))
    with pytest.raises(KeyError), feature_files.full_arrays(tmp_path, "sums", "train", (0,), (4, 3)):
        raise KeyError
    assert not list(tmp_path.glob("layer_0/*train*"))
