"""Where compiled programs are kept: in a folder of one's own, or not at all; and what was cut short goes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from causeway.engine import compilation_cache
from causeway.engine.compilation_cache import (
    keep_compiled_programs,
    private_folder,
    processor,
    remove_torn_programs,
)

# Compiles two programs, and says how many were loaded from disk.
PROGRAM = """
from causeway.engine.compilation_cache import keep_compiled_programs, remove_torn_programs
folder = keep_compiled_programs()
remove_torn_programs()
import jax, jax.numpy as jnp
loaded = []
jax.monitoring.register_event_listener(lambda event, **_: loaded.append(event) if "cache_hits" in event else None)
print(jax.jit(lambda x: x * 2 + 1)(jnp.arange(3)), len(loaded), folder, sep=";")
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder of caches; nothing is set for jax, and nothing is changed in this process's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    for name in ("DIR", "MAX_SIZE"):
        monkeypatch.delenv(f"JAX_COMPILATION_CACHE_{name}", raising=False)
    monkeypatch.setattr(compilation_cache, "_set", lambda name, value: None)
    return tmp_path / "caches" / "causeway"


def test_the_folder_is_ours_alone(home):
    folder = private_folder()
    assert folder == home / f"programs-{processor()}"
    assert {path.stat().st_mode & 0o777 for path in (home, folder)} == {0o700}


@pytest.mark.parametrize("which", ["home", "folder"])
def test_a_folder_that_others_can_write_is_not_used(home, which):
    folder = private_folder()
    (home if which == "home" else folder).chmod(0o777)
    with pytest.warns(UserWarning, match="compiled programs are not kept: .* can be written by others") as told:
        assert keep_compiled_programs() is None
    assert len(told) == 1


def test_a_link_and_a_place_that_others_can_change_are_not_used(home, tmp_path):
    (tmp_path / "own").mkdir(mode=0o700)
    home.parent.mkdir()
    home.symlink_to(tmp_path / "own")
    with pytest.warns(UserWarning, match="is a link"):
        assert keep_compiled_programs() is None
    home.unlink()
    home.parent.chmod(0o777)
    with pytest.warns(UserWarning, match="could replace causeway"):
        assert keep_compiled_programs() is None


def test_entries_stay_where_jax_writes_no_times(home, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_MAX_SIZE", "-1")
    folder = private_folder()
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
    (folder / "whole-cache").write_bytes(b"")
    remove_torn_programs()
    assert (folder / "whole-cache").exists()


def test_a_folder_of_another_user_is_not_used(home, monkeypatch):
    private_folder()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.warns(UserWarning, match="belongs to another user"):
        assert keep_compiled_programs() is None


def test_a_place_that_cannot_be_written_is_no_failure(home):
    home.parent.write_text("")
    with pytest.warns(UserWarning, match="compiled programs are not kept"):
        assert keep_compiled_programs() is None


def test_another_folder_and_turning_it_off(home, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
    assert str(keep_compiled_programs()) == "/elsewhere"
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "False")
    assert keep_compiled_programs() is None
    assert not home.exists()


def test_entries_cut_short_are_removed_unless_they_are_being_written(home, monkeypatch):
    folder = private_folder()
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
    for name in ("whole-cache", "whole-atime", "torn-cache"):
        (folder / name).write_bytes(b"")
    with FileLock(folder / ".lockfile"):
        remove_torn_programs()
        assert (folder / "torn-cache").exists()
    remove_torn_programs()
    assert {path.name for path in folder.glob("*-*")} == {"whole-cache", "whole-atime"}


@pytest.mark.slow
def test_a_second_process_compiles_nothing_and_a_torn_entry_is_compiled_again(tmp_path):
    own = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMP")}
    own["XDG_CACHE_HOME"] = str(tmp_path)

    def run(cut=False):
        for path in tmp_path.rglob("*-cache") if cut else ():
            path.write_bytes(path.read_bytes()[:50])
        done = subprocess.run([sys.executable, "-P", "-c", PROGRAM], env=own, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        shown, loaded, folder = done.stdout.split(";")
        assert shown == "[1 3 5]"
        assert Path(folder.strip()).parent == tmp_path / "causeway"
        return int(loaded)

    programs = [run(), run(), run(cut=True)]
    assert programs[0] == programs[2] == 0 < programs[1]
