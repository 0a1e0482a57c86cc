"""Whatever byte of a sealed folder is changed, it is found and its file is named."""

import subprocess

import numpy as np
import pytest

from causeway.engine.sweep import checksums
from causeway.engine.sweep.checksums import CHECKSUMS_FILE, SealedFolder, seal


@pytest.fixture
def folder(tmp_path):
    """Three files, one of them empty."""
    (tmp_path / "sealed" / "inner").mkdir(parents=True)
    for name, size in {"a.bin": 150, "inner/b.bin": 128, "inner/empty": 0}.items():
        (tmp_path / "sealed" / name).write_bytes(np.random.default_rng(size).bytes(size))
    seal(tmp_path / "sealed")
    return tmp_path / "sealed"


def check(folder, chosen=lambda name: True):
    SealedFolder(folder, "make it again").check(chosen)


def test_every_changed_byte_of_every_file_is_found_and_the_file_named(folder):
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        good = file.read_bytes()
        for place in range(len(good)):
            file.write_bytes(good[:place] + bytes([good[place] ^ (1 + place % 255)]) + good[place + 1 :])
            with pytest.raises(ValueError, match=r"^damaged: ") as caught:
                check(folder)
            assert str(caught.value).startswith(f"damaged: {file} (")
            assert str(caught.value).endswith("; make it again")
        file.write_bytes(good)
    check(folder)


def test_missing_and_cut_files_are_found(folder):
    (folder / "inner" / "empty").unlink()
    with pytest.raises(ValueError, match=r"inner/empty \(missing\)"):
        check(folder)
    (folder / "inner" / "empty").touch()
    (folder / "a.bin").write_bytes((folder / "a.bin").read_bytes()[:64])
    with pytest.raises(ValueError, match=r"a.bin \(64 bytes of 150\)"):
        check(folder)
    check(folder, lambda name: name.startswith("inner/"))
    (folder / CHECKSUMS_FILE).unlink()
    with pytest.raises(ValueError, match=r"causeway.sha256 \(missing\)"):
        check(folder)


def test_a_folder_of_an_older_version_is_refused_as_one(folder):
    (folder / CHECKSUMS_FILE).rename(folder / "checksums.json")
    with pytest.raises(ValueError, match=r"causeway.sha256 \(missing; the folder is of an older version\); make it"):
        check(folder)


def test_the_list_is_sha256sums(folder):
    checked = subprocess.run(["sha256sum", "--check", "--strict", CHECKSUMS_FILE], cwd=folder, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, b"")


def test_what_was_checked_is_read_again_only_when_it_was_touched(folder, monkeypatch):
    sealed, read = SealedFolder(folder, ""), []
    digest = checksums.file_sha256
    monkeypatch.setattr(checksums, "file_sha256", lambda path: (read.append(path.name), digest(path))[1])
    sealed.check()
    assert sorted(read) == ["a.bin", "b.bin", "empty"]
    sealed.check()
    assert len(read) == 3
    (folder / "a.bin").touch()
    sealed.check()
    assert read[3:] == ["a.bin"]
