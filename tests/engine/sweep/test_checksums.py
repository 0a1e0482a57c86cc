"""Checksums beside files: what was recorded is compared, what was not is somebody's own."""

import contextlib
import hashlib
import subprocess

import pytest

from causeway.engine.sweep import checksums
from causeway.engine.sweep.durable import write_bytes


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "out"
    with checksums.recorded(place, ["a.jsonl", "deep/b.npy", "absent"]):
        write_bytes(place / "a.jsonl", b"one\n")
        (place / "deep").mkdir()
        write_bytes(place / "deep" / "b.npy", b"two")
    return place


def test_files_come_back_and_the_list_is_sha256sums(folder):
    assert checksums.read_bytes(folder / "a.jsonl") == b"one\n"
    checksums.check(folder / "deep" / "b.npy")
    digest = hashlib.sha256(b"one\n").hexdigest()
    assert (folder / "causeway.sha256").read_text().startswith(f"{digest}  a.jsonl\n")
    checked = subprocess.run(["sha256sum", "--check", "causeway.sha256"], cwd=folder, capture_output=True)
    assert checked.returncode == 0


@pytest.mark.parametrize("name", ["a.jsonl", "deep/b.npy"])
def test_a_changed_file_is_refused_in_a_line_that_says_what_to_do(folder, name):
    (folder / name).write_bytes(b"One\n")
    for read in (checksums.check, checksums.read_bytes):
        with pytest.raises(ValueError, match=rf"{name}: not the file that was written here.*delete its line") as error:
            read(folder / name)
        assert "\n" not in str(error.value)


def test_a_file_is_ones_own_elsewhere_or_without_its_line(folder, tmp_path):
    (folder / "a.jsonl").write_bytes(b"edited")
    own = tmp_path / "own.jsonl"
    own.write_bytes((folder / "a.jsonl").read_bytes())
    assert checksums.read_bytes(own) == b"edited"
    lines = (folder / "causeway.sha256").read_text().splitlines(keepends=True)
    (folder / "causeway.sha256").write_text("".join(line for line in lines if "a.jsonl" not in line))
    assert checksums.read_bytes(folder / "a.jsonl") == b"edited"
    checksums.check(folder / "deep" / "b.npy")


def test_a_damaged_list_is_named_with_its_line(folder):
    path = folder / "causeway.sha256"
    path.write_text("x" + path.read_text()[1:])
    with pytest.raises(ValueError, match=r"causeway\.sha256 line 1: damaged.*delete the line"):
        checksums.read_bytes(folder / "a.jsonl")


def test_every_changed_byte_of_the_list_is_noticed_or_lets_the_file_be_read_as_it_is(folder):
    path = folder / "causeway.sha256"
    text = path.read_bytes()
    for at in range(len(text)):
        for bit in (1, 32):
            path.write_bytes(text[:at] + bytes([text[at] ^ bit]) + text[at + 1 :])
            with contextlib.suppress(ValueError):
                assert checksums.read_bytes(folder / "a.jsonl") == b"one\n"


def test_a_killed_writer_leaves_no_wrong_line(folder):
    with contextlib.suppress(KeyboardInterrupt), checksums.recorded(folder, ["a.jsonl"]):
        write_bytes(folder / "a.jsonl", b"new")
        raise KeyboardInterrupt
    assert checksums.read_bytes(folder / "a.jsonl") == b"new"
    with checksums.recorded(folder, ["a.jsonl"]):
        write_bytes(folder / "a.jsonl", b"newer")
    (folder / "a.jsonl").write_bytes(b"newest")
    with pytest.raises(ValueError, match="not the file that was written here"):
        checksums.read_bytes(folder / "a.jsonl")


def test_lines_of_files_that_went_go_too(folder):
    (folder / "deep" / "b.npy").unlink()
    with checksums.recorded(folder, ["a.jsonl"]):
        (folder / "a.jsonl").unlink()
    assert not (folder / "causeway.sha256").exists()


def test_one_writer_at_a_time(folder):
    writing = checksums.written_alone
    with writing(folder, []), pytest.raises(ValueError, match="in use by process"), writing(folder, []):
        pass
    assert not (folder / ".lock").exists()
