"""The store: what goes in comes out, damage is named and repaired, a full disk leaves nothing half done."""

import errno
import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from causeway.engine.sweep import durable
from causeway.engine.sweep.manifest import DamagedStore
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store


def test_round_trip_with_plain_readers(toy, finished):
    plan, workdir = finished.plan, finished.workdir
    merged = pq.read_table(workdir / "trials.parquet")
    values = zarr.open_group(workdir / "activations.zarr", mode="r")["values"]
    assert values.shape == (plan.array_rows, 3, 5)
    assert merged.schema.equals(toy.SCHEMA, check_metadata=True)
    assert dict(values.attrs) == {"scale": "SAE units"}
    assert values.metadata.dimension_names == ("row", "step", "feature")
    start = 0
    for unit, rows in enumerate(plan.unit_rows):
        expected = toy.make_result(plan, unit)
        first = unit * plan.rows_per_unit
        np.testing.assert_array_equal(values[first : first + rows], expected.arrays["values"])
        np.testing.assert_array_equal(finished.array("ids")[first : first + rows].read().result(), unit)
        part = merged.slice(start, rows).to_pydict()
        np.testing.assert_array_equal(part["p"], expected.rows["p"])
        assert part["answer"] == expected.rows["answer"]
        start += rows


def test_merged_table_has_one_row_group_per_unit(finished):
    metadata = pq.ParquetFile(finished.table_path).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == list(finished.plan.unit_rows)


def test_every_unit_owns_one_shard_even_of_zeros(finished, contents):
    assert [path for path in contents(finished) if "values/c" in path] == [
        f"activations.zarr/values/c/{unit}/0/0" for unit in range(finished.plan.units)
    ]


def damage(store, name: str, how: str) -> None:
    path = store.workdir / name
    data = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(data[:-7])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


DATA_FILES = ["activations.zarr/values/c/3/0/0", "activations.zarr/ids/c/3", "units/00003.parquet"]
# A missing manifest is an unfinished unit, not damage.
DAMAGES = [*itertools.product(DATA_FILES, ["missing", "truncated", "flipped"]), ("units/00003.json", "truncated")]


@pytest.mark.parametrize(("name", "how"), DAMAGES)
def test_damage_is_named_and_repaired_to_the_same_bytes(toy, finished, contents, name, how):
    before = contents(finished)
    damage(finished, name, how)
    store = Store(finished.workdir, finished.plan)
    assert [d.path for d in store.verify()] == [name]
    compute = lambda unit: toy.make_result(store.plan, unit)  # noqa: E731
    if how != "flipped":
        with pytest.raises(DamagedStore, match=rf"{name}: .*rerun with --repair") as error:
            run_sweep(store, compute)
        assert "\n" not in str(error.value)
    assert run_sweep(store, compute, repair=True).computed == 1
    assert store.verify() == []
    assert contents(store) == before


def test_damage_of_the_merged_table_and_of_metadata_is_repaired(toy, finished, contents):
    before = contents(finished)
    for name in ("trials.parquet", "activations.zarr/values/zarr.json", "activations.zarr/zarr.json"):
        damage(finished, name, "truncated")
    store = Store(finished.workdir, finished.plan)
    with pytest.raises(DamagedStore, match=r"activations\.zarr/zarr\.json: missing, or not as.*--repair"):
        run_sweep(store, None)
    with pytest.raises(ValueError, match=r"values/zarr\.json.*--repair"):
        store.array("values")
    assert run_sweep(store, None, repair=True).computed == 0
    assert contents(store) == before


def test_a_flipped_byte_never_reaches_the_merged_table(toy, finished):
    store = Store(finished.workdir, finished.plan)
    store.table_path.with_suffix(".json").unlink()
    damage(store, "units/00002.parquet", "flipped")
    with pytest.raises(DamagedStore, match=r"units/00002\.parquet: corrupted"):
        run_sweep(store, None)


@pytest.mark.parametrize("failing", [0, 1, 2, 3])
def test_full_disk_leaves_nothing_under_a_final_name(toy, tmp_path, monkeypatch, contents, failing):
    plan = toy.make_plan()
    store = Store(tmp_path, plan)
    steps = iter(range(99))

    def fail_at(function):
        def wrapper(*args):
            if next(steps) == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            return function(*args)

        return wrapper

    with store.writing():
        for name in ("write_bytes", "sync_folders"):
            monkeypatch.setattr(durable, name, fail_at(getattr(durable, name)))
        with pytest.raises(OSError, match="No space left"):
            store.commit(0, toy.make_result(plan, 0), {})
    assert [path for path in contents(store) if not path.endswith("zarr.json")] == []
    assert store.finished() == []
    assert not list(tmp_path.rglob("*.tmp"))


def test_bad_results_are_refused_before_anything_is_written(toy, tmp_path, contents):
    plan = toy.make_plan()
    store, good = Store(tmp_path, plan), toy.make_result(plan, 0)
    other = type(good)
    wrong = {
        "missing columns": other({"trial": [1]}, good.arrays),
        "length": other({**good.rows, "answer": ["x"]}, good.arrays),
        "column p is not": other({**good.rows, "p": ["a"] * 4}, good.arrays),
        "has 1 nulls": other({**good.rows, "trial": [1, 2, None, 3]}, good.arrays),
        r"missing \['ids'\]": other(good.rows, {"values": good.arrays["values"]}),
        "values is float64": other(good.rows, {**good.arrays, "values": good.arrays["values"].astype(float)}),
        r"values is float32\[3": other(good.rows, {**good.arrays, "values": good.arrays["values"][:3]}),
    }
    with store.writing():
        for match, result in wrong.items():
            with pytest.raises(ValueError, match=match):
                store.commit(0, result, {})
        assert contents(store) == {}
        store.commit(0, good, {})
        with pytest.raises(ValueError, match="already finished"):
            store.commit(0, good, {})


def test_one_writer_at_a_time(toy, tmp_path):
    store = Store(tmp_path, toy.make_plan())
    with store.writing(), pytest.raises(ValueError, match="in use by process"), store.writing():
        pass


def test_data_files_hold_no_time_and_no_host(toy, tmp_path, finished, contents):
    again = Store(tmp_path / "again", finished.plan)
    run_sweep(again, lambda unit: toy.make_result(again.plan, unit))
    assert contents(again) == contents(finished)
