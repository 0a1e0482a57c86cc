"""Whatever byte of a sealed folder is changed, it is found and its file is named."""

import numpy as np
import pytest

from causeway.engine import sealed_folder
from causeway.engine.sealed_folder import CHECKSUMS, SealedFolder, seal


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files in pieces of 64 bytes, one of them empty, one as long as two pieces."""
    monkeypatch.setattr(sealed_folder, "_PIECE", 64)
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
            # One space between the words of the list may become another: those are left alone.
            if good[place : place + 1].isspace() and file.name == CHECKSUMS:
                continue
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
    (folder / "checksums.json").unlink()
    with pytest.raises(ValueError, match=r"checksums.json \(missing\)"):
        check(folder)


def test_what_was_checked_is_read_again_only_when_it_was_touched(folder, monkeypatch):
    sealed, read = SealedFolder(folder, ""), []
    digest = sealed_folder._digest
    monkeypatch.setattr(sealed_folder, "_digest", lambda piece: (read.append(piece[0].name), digest(piece))[1])
    sealed.check()
    assert sorted(read) == ["a.bin"] * 3 + ["b.bin"] * 2
    sealed.check()
    assert len(read) == 5
    (folder / "a.bin").touch()
    sealed.check()
    assert read[5:] == ["a.bin"] * 3
