"""One byte changed anywhere in a finished workdir: whoever reads it again notices, or nothing that is read changes."""

import contextlib
import random
import shutil

import pyarrow.parquet as pq
import pytest

from causeway.engine.sweep.checksums import DamagedDocument, read_sealed, write_sealed
from causeway.engine.sweep.manifest import DamagedStore, Manifest, finished_table
from causeway.engine.sweep.plan import read_plan
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store


def flip(workdir, draw):
    """Changes one bit of one byte of a file, its kind drawn first: there are many units and one plan."""
    kinds = {}
    for path in sorted(workdir.rglob("*")):
        if path.is_file() and path.name not in ("events.jsonl", ".lock"):
            kinds.setdefault((path.parent.parent.name, path.parent.name, path.suffix), []).append(path)
    path = draw.choice(kinds[draw.choice(sorted(kinds))])
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return path.relative_to(workdir).as_posix()


def read_again(store):
    """What a finished run and other commands read: the rows of the units, and the merged table."""
    run_sweep(store, None)
    units = [table.to_pylist() for table in store.tables()]
    merged = finished_table(store.workdir, store.plan.layout.table, "toy")
    return units, pq.read_table(merged.path).to_pylist(), merged.plan["config"], merged.plan["parts"]


def noticed(store, name, before):
    """Whether the change of a file is told; if not, nothing that is read may have changed."""
    try:
        found = read_again(store)
    except ValueError as error:
        line = str(error)
    else:
        assert found == before, name
        return False
    assert name.split("/")[-1] in line
    assert "--repair" in line
    assert "\n" not in line
    return True


@pytest.mark.parametrize("seeds", [range(16), pytest.param(range(16, 216), marks=pytest.mark.slow)], ids=str)
def test_a_changed_byte_is_noticed_or_changes_nothing_and_is_mended(toy, finished, tmp_path, contents, seeds):
    before, data = read_again(finished), contents(finished)
    count = 0
    for seed in seeds:
        store = Store(tmp_path / f"flip{seed}", finished.plan)
        shutil.copytree(finished.workdir, store.workdir)
        count += noticed(store, flip(store.workdir, random.Random(seed)), before)
        run_sweep(store, lambda unit: toy.make_result(finished.plan, unit), repair=True)
        assert read_again(store) == before
        assert contents(store) == data
        assert store.verify() == []
    assert count > len(seeds) / 4


def test_every_key_and_digit_of_a_manifest_counts(finished):
    path = finished.workdir / "units" / "00002.json"
    text = path.read_bytes()
    read, silent = read_sealed(path), 0
    for at in range(0, len(text), 3):
        path.write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
        with contextlib.suppress(DamagedDocument):
            assert read_sealed(path) == read
            silent += 1
    # Spaces between fields say nothing.
    assert silent <= text.count(b" ") + text.count(b"\n")


def test_a_unit_of_another_plan_is_refused_and_computed_again(toy, finished, tmp_path, contents):
    before = contents(finished)
    other = Store(tmp_path / "other", toy.make_plan(temperature=0.8))
    run_sweep(other, lambda unit: toy.make_result(other.plan, 4), units=[0])
    for name in ("units/00000.json", "units/00000.parquet"):
        shutil.copy(other.workdir / name, finished.workdir / name)
    store = Store(finished.workdir, finished.plan)
    with pytest.raises(DamagedStore, match=r"units/00000\.json: of another plan \(fingerprint [0-9a-f]{12}\.\.\."):
        run_sweep(store, None)
    assert run_sweep(store, lambda unit: toy.make_result(store.plan, unit), repair=True).computed == 1
    assert contents(store) == before


def test_a_manifest_under_another_units_name_is_refused(finished):
    shutil.copy(finished.workdir / "units" / "00001.json", finished.workdir / "units" / "00000.json")
    with pytest.raises(DamagedStore, match=r"units/00000\.json: the manifest of unit 1"):
        run_sweep(finished, None)


def test_a_table_of_another_plan_is_not_read(toy, finished, tmp_path):
    other = Store(tmp_path / "other", toy.make_plan(temperature=0.8))
    run_sweep(other, lambda unit: toy.make_result(other.plan, unit))
    for name in ("trials.parquet", "trials.json"):
        shutil.copy(other.workdir / name, finished.workdir / name)
    with pytest.raises(DamagedStore, match=r"trials\.json: of another plan"):
        finished_table(finished.workdir, "trials", "toy")
    assert Manifest.read(other.workdir, other.workdir / "trials.json", other.plan.fingerprint).damages(deep=True) == []


def test_a_table_is_given_only_of_a_finished_run(toy, finished, tmp_path):
    store = Store(tmp_path / "part", finished.plan)
    run_sweep(store, lambda unit: toy.make_result(store.plan, unit), limit=2)
    with pytest.raises(
        FileNotFoundError, match=r"trials\.parquet: no such file; needs the --workdir of a finished `toy`"
    ):
        finished_table(store.workdir, "trials", "toy")
    assert finished_table(finished.workdir, "trials", "toy").plan == read_plan(finished.workdir)


def test_a_sealed_document_comes_back_whatever_the_order_of_its_fields(tmp_path):
    path = tmp_path / "document.json"
    write_sealed(path, {"b": [1, 0.5, None], "a": {"z": "é", "y": True}})
    assert read_sealed(path) == {"a": {"y": True, "z": "é"}, "b": [1, 0.5, None]}
    with pytest.raises(DamagedDocument, match=r"is a folder, where a file is needed"):
        read_sealed(tmp_path)
