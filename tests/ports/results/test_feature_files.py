"""Feature files hold what was extracted; a whole set is refused, what a killed run left is replaced."""

import dataclasses
import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from causeway.engine.analyses.features.extract import LayerFeatures
from causeway.engine.sweep import checksums
from causeway.ports.results import feature_files


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


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path, found):
    for split in ("test", "test_b"):
        feature_files.write_layer(tmp_path, "sums", split, found, {})
    feature_files.write_summary(tmp_path, "sums", "test_b", np.zeros((5, 2)), {})
    (tmp_path / "layer_3" / ".sums_test_full_activations.npy.tmp").write_bytes(b"half")
    assert not feature_files.summary_path(tmp_path, "sums", "test").exists()
    feature_files.remove(tmp_path, "sums", "test")
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert len(left) == 8
    assert all("sums_test_b_" in name for name in left)


@pytest.mark.parametrize("system", ["reserves", "writes zeros"])
def test_space_for_all_activations_is_taken_before_any_is_written(tmp_path, monkeypatch, system):
    """A write into a hole of a mapped file on a full disk would kill the process."""
    if system == "writes zeros":
        monkeypatch.delattr(os, "posix_fallocate")
    with feature_files.full_arrays(tmp_path, "sums", "test", (0,), (300, 1000)) as arrays:
        (temporary,) = tmp_path.glob("layer_0/.*.tmp")
        assert temporary.stat().st_blocks * 512 >= 300 * 1000 * 4
        assert not arrays[0].any()
        arrays[0][:] = 2
    np.testing.assert_array_equal(
        np.load(tmp_path / "layer_0" / "sums_test_full_activations.npy"), np.full((300, 1000), 2, np.float32)
    )


def refuse(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with (
        pytest.raises(OSError, match=r"sums_test_full_activations\.npy: the disk is full; free space and run the same"),
        feature_files.full_arrays(tmp_path, "sums", "test", (0, 1), (4, 3)),
    ):
        pytest.fail("computed")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_a_small_disk_is_told_in_a_line_and_does_not_kill(tmp_path):
    """The real thing, where this user may mount: two layers of 0.6 MB on a disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("may not mount a small disk")
    try:
        done = subprocess.run([sys.executable, "-P", "-c", FILL, disk], capture_output=True, text=True)
    finally:
        subprocess.run(["umount", disk], check=True)
    assert done.returncode == 0, done.stderr
    assert "the disk is full" in done.stdout


FILL = """
import sys
from pathlib import Path
from causeway.ports.results.feature_files import full_arrays
try:
    with full_arrays(Path(sys.argv[1]), "sums", "test", (0, 1), (150, 1000)) as arrays:
        for array in arrays.values():
            array[:] = 1
except OSError as error:
    print(error)
"""


def test_two_sets_of_one_name_are_refused():
    feature_files.check_distinct([("a", "b_c"), ("a_b", "d")])
    with pytest.raises(ValueError, match=r"two behaviours and splits would both be written to a_b_c_"):
        feature_files.check_distinct([("a", "b_c"), ("a_b", "c")])


def test_a_set_has_its_checksums_beside_it(tmp_path, found):
    for layers in ((3,), (1, 2)):
        with feature_files.written(tmp_path, "sums", "test", layers):
            for layer in layers:
                feature_files.write_layer(tmp_path, "sums", "test", dataclasses.replace(found, layer=layer), {})
            feature_files.write_summary(tmp_path, "sums", "test", np.zeros((5, 2)), {})
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    lines = (tmp_path / "causeway.sha256").read_text().splitlines()
    assert files == {line.split("  ")[1] for line in lines} | {"causeway.sha256"}
    assert not any("layer_3" in name for name in files)
    path = tmp_path / "layer_2" / "sums_test_top_k_values.npy"
    checksums.check(path)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"top_k_values\.npy: not the file that was written here"):
        checksums.check(path)


def test_all_activations_are_there_once_they_are_whole(tmp_path):
    path = tmp_path / "layer_0" / "sums_test_full_activations.npy"
    with feature_files.full_arrays(tmp_path, "sums", "test", (0, 1), (4, 3)) as arrays:
        arrays[0][:] = 2
        assert not path.exists()
    np.testing.assert_array_equal(np.load(path), np.full((4, 3), 2, np.float32))
    with pytest.raises(KeyError), feature_files.full_arrays(tmp_path, "sums", "train", (0,), (4, 3)):
        raise KeyError
    assert not list(tmp_path.glob("layer_0/*train*"))
