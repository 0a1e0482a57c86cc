"""A folder is the old one or the new one, whole, whatever moment the writer dies."""

import json
import os
import signal
import subprocess
import sys

import pytest

from causeway.engine.whole_folder import put_back, replacing_folder

# Writes two files over a folder in one child for every durable operation, which kills itself at that operation.
KILLED = """
import itertools, json, os, pathlib, shutil, signal, sys
from causeway.engine import whole_folder
place = pathlib.Path(sys.argv[1])

def write():
    with whole_folder.replacing_folder(place / "out", lambda entry: entry.name.startswith("part")) as partial:
        (partial / "part1").write_text("new")
        (partial / "inner").mkdir()
        (partial / "inner" / "part2").write_text("new")

def read():
    out = place / "out"
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): path.read_text() for path in files}

for there in (False, True):
    for at in itertools.count(1):
        for path in place.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if there:
            (place / "out").mkdir()
            for name in ("part1", "part9", "notes"):
                (place / "out" / name).write_text("old")
        child = os.fork()
        if not child:
            calls = itertools.count(1)
            def counted(function):
                return lambda *a: os.kill(os.getpid(), signal.SIGKILL) if next(calls) == at else function(*a)
            os.fsync, os.replace = counted(os.fsync), counted(os.replace)
            write()
            os._exit(0)
        status, after = os.waitpid(child, 0)[1], read()
        write()
        print(json.dumps([there, status, after, read(), sorted(path.name for path in place.iterdir())]))
        if not status:
            break
"""
NEW = {"inner/part2": "new", "part1": "new"}
OLD = {"notes": "old", "part1": "old", "part9": "old"}


def test_killed_at_every_durable_operation(tmp_path):
    done = subprocess.run([sys.executable, "-P", "-c", KILLED, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    for there, status, after, finished, names in runs:
        whole = NEW | ({"notes": "old"} if there else {})
        assert after in (whole, OLD if there else {}, {})
        assert finished == whole
        assert names == ["out"]
        assert status in (0, signal.SIGKILL)
    assert sum(status == signal.SIGKILL for _, status, *_ in runs) > 10


def test_an_error_leaves_what_was_there(tmp_path):
    def write():
        with replacing_folder(tmp_path / "out") as partial:
            (partial / "a").write_text("new")
            raise OSError(28, "No space left on device")

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("old")
    with pytest.raises(OSError, match="No space"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "a").read_text() == "old"


def test_what_an_interrupted_writer_left_is_given_back_where_that_is_wanted(tmp_path):
    def write(text, fails):
        with replacing_folder(tmp_path / "deep" / "out", resume=True) as partial:
            (partial / text).write_text(text)
            if fails:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write("a", fails=True)
    write("b", fails=False)
    assert sorted(path.name for path in (tmp_path / "deep" / "out").iterdir()) == ["a", "b"]


def test_one_writer_at_a_time_and_not_where_the_process_works(tmp_path, monkeypatch):
    with (
        replacing_folder(tmp_path / "out"),
        pytest.raises(ValueError, match="out: another process is writing it"),
        replacing_folder(tmp_path / "out"),
    ):
        pass
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(ValueError, match="is the current directory"), replacing_folder("."):
        pass


def test_through_a_link_the_folder_it_names_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with replacing_folder(tmp_path / "link") as partial:
        (partial / "a").touch()
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "real") == ["a"]


def test_a_folder_that_had_stepped_aside_is_put_back(tmp_path):
    (tmp_path / ".out.replaced").mkdir()
    put_back(tmp_path / "out")
    put_back(tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"]
