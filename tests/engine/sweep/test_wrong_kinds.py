"""What does not belong into a workdir, or is gone from it, is named in one line."""

import errno
import os
import shutil

import pytest

from causeway.engine.sweep import durable
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store


@pytest.mark.parametrize("name", ["00003 (1).json", "00006.json", "notes.json", "3.json", "-0003.json"])
@pytest.mark.parametrize("repair", [False, True])
def test_a_foreign_file_among_the_manifests_is_named(finished, name, repair):
    shutil.copy(finished.workdir / "units" / "00003.json", finished.workdir / "units" / name)
    with pytest.raises(ValueError, match=r"units/.*no manifest of this sweep, whose units are 00000 to 00005") as error:
        run_sweep(finished, None, repair=repair)
    assert name in str(error.value)


def test_what_a_file_browser_leaves_is_no_reason_to_stop(finished):
    for name in (".DS_Store", "Thumbs.db", "notes.txt"):
        (finished.workdir / "units" / name).write_bytes(b"x")
    assert run_sweep(finished, None).computed == 0


KINDS = {
    "units": ("file", r"units: is a file, where a folder is needed"),
    ".lock": ("folder", r"\.lock: is a folder, where a lock file belongs"),
    "plan.json": ("folder", r"plan\.json: is a folder, where a file is needed"),
    "units/00003.json": ("folder", r"00003\.json: no manifest of this sweep"),
    "units/00003.parquet": ("folder", r"00003\.parquet: missing, though its manifest is there.*--repair"),
    "trials.parquet": ("folder", r"trials\.parquet: missing, though its manifest is there.*--repair"),
    "activations.zarr": ("file", r"zarr\.json: missing, or not as the plan says.*--repair"),
}


@pytest.mark.parametrize("name", KINDS)
def test_things_of_the_wrong_kind_are_named(toy, finished, name):
    kind, message = KINDS[name]
    path = finished.workdir / name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.mkdir() if kind == "folder" else path.write_bytes(b"")
    with pytest.raises(ValueError, match=message) as error:
        run_sweep(finished, None)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=name.split("/")[-1].split(".zarr")[0]):
        run_sweep(finished, lambda unit: toy.make_result(finished.plan, unit), repair=True)


def remove(folder, tmp_path):
    """At one stroke: a unit that is written meanwhile would stop a deletion file by file."""
    shutil.rmtree(folder.rename(tmp_path / "removed"))


@pytest.mark.parametrize("removed", [".", "units"])
@pytest.mark.parametrize("when", [1, 5])
def test_a_workdir_removed_while_a_sweep_runs_is_told(toy, tmp_path, capsys, removed, when):
    """After some units, and after the last one was computed."""
    store = Store(tmp_path / "run", toy.make_plan())

    def compute(unit):
        if unit == when:
            remove(store.workdir / removed, tmp_path)
        return toy.make_result(store.plan, unit)

    with pytest.raises(FileNotFoundError, match=r"workdir .*run: was removed while the sweep ran") as error:
        run_sweep(store, compute)
    assert "\n" not in str(error.value)
    assert "units finished" not in capsys.readouterr().err


def test_a_workdir_removed_and_made_again_is_told(toy, tmp_path):
    store = Store(tmp_path / "run", toy.make_plan())

    def compute(unit):
        if unit == 2:
            remove(store.workdir, tmp_path)
            (store.workdir / "units").mkdir(parents=True)
        return toy.make_result(store.plan, unit)

    with pytest.raises(FileNotFoundError, match="was removed while the sweep ran"):
        run_sweep(store, compute)


def test_a_unit_removed_while_a_sweep_runs_is_told(toy, tmp_path):
    store = Store(tmp_path / "run", toy.make_plan())

    def compute(unit):
        if unit == 5:
            (store.workdir / "units" / "00000.json").unlink()
        return toy.make_result(store.plan, unit)

    with pytest.raises(FileNotFoundError, match="finished units were removed while the sweep ran"):
        run_sweep(store, compute)
    assert run_sweep(store, lambda unit: toy.make_result(store.plan, unit)).computed == 1


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(durable.DiskFull) as error, durable.replacing(tmp_path / "effects.parquet"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(error.value) == (
        f"{tmp_path / 'effects.parquet'}: the disk is full; free space and run the same command again"
    )
    assert durable.is_disk_full(error.value)


def test_other_errors_of_writing_are_told_by_what_is_there(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(ValueError, match=r"taken: is a folder, where a file is to be written; move it away"):
        durable.write_bytes(tmp_path / "taken", b"x")
    with pytest.raises(FileNotFoundError, match=r"gone: the folder is not there; was it removed while this ran\?"):
        durable.write_bytes(tmp_path / "gone" / "file", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match=r"file: is a file, where a folder is needed"):
        durable.make_folder(tmp_path / "file" / "inner")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]
