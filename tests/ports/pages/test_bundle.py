"""An archive of a report: the same bytes for the same folder, everything small, and a word on what is left out."""

import hashlib
import importlib.util
import json
import os
import sys
import zipfile
from pathlib import Path

import altair as alt
import pyarrow as pa
import pytest

from causeway.ports.pages import bundle
from causeway.ports.pages.bundle import make_bundle
from causeway.ports.pages.methods import as_markdown
from causeway.ports.pages.section import TABLE, Chart, Section
from causeway.ports.pages.workdir import KINDS, find_results

spec = importlib.util.spec_from_file_location("swept", Path(__file__).with_name("swept.py"))
swept = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = swept
spec.loader.exec_module(swept)


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    swept.write_sweep(folder / "exact")
    (folder / "exact" / "activations.zarr").mkdir()
    (folder / "exact" / "activations.zarr" / "0").write_bytes(b"12345")
    (folder / "exact" / "values.npy").write_bytes(b"x")
    (folder / ".hidden").write_text("secret")
    (folder / "outside.json").symlink_to("/etc/hostname")
    return folder


def packed(path, folder):
    chart = Chart("one", "One", "A point.", alt.Chart(alt.NamedData(TABLE)).mark_circle().encode(x="x:Q"),
                  pa.table({"x": [1.0, 2.0]}))  # fmt: skip
    made = make_bundle(folder, find_results(folder), [Section("s", "s", [chart])], "<p>page</p>", {}, {path})
    path.write_bytes(made.content)
    return made


def test_what_is_in_it_and_that_its_contents_say_so(runs, tmp_path):
    made = packed(tmp_path / "a.zip", runs)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        told = json.loads(archive.read("contents.json"))
        for name, entry in told["files"].items():
            data = archive.read(name)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["size"], entry["sha256"])
        assert archive.read("report.html") == b"<p>page</p>"
        assert b"The plan's fingerprint is" in archive.read("methods.md")
        assert archive.read("figures/s-one.png").startswith(b"\x89PNG")
        assert archive.read("results/exact/plan.json") == (runs / "exact" / "plan.json").read_bytes()
    assert names == sorted(names) == list(made.files)
    assert {*told["files"], "contents.json"} == set(names)
    assert {f"results/exact/{name}" for name in ("plan.json", "summary.json", "effects.parquet")} <= set(names)
    assert "figures/s-one.svg" in names
    assert told["left_out"] == made.left_out == {
        "exact/activations.zarr/": "parts of results: 1 files, 5 bytes",
        "exact/units/": "parts of results: 4 files, 8 bytes",
        "exact/values.npy": "no plan, summary or table of a command",
    }  # fmt: skip
    plan = json.loads((runs / "exact" / "plan.json").read_text())
    assert told["results"] == [
        {"command": "causeway patch_sweep", "folder": "exact", "fingerprint": plan["fingerprint"], "missing": ""}
    ]


def test_the_same_folder_gives_the_same_bytes(runs, tmp_path):
    first = packed(runs / "a.zip", runs)
    os.utime(runs / "exact" / "plan.json", (0, 0))
    second = packed(tmp_path / "b.zip", runs)
    before = (runs / "a.zip").read_bytes()
    assert "a.zip" in second.left_out
    packed(runs / "a.zip", runs)
    assert (runs / "a.zip").read_bytes() == before
    assert first.content == before


def test_what_no_command_wrote_is_named_and_not_taken(runs, tmp_path):
    (runs / "own").mkdir()
    for name in ("password.txt", "exact/password.txt", "exact/secrets.json", "exact/notes.py", "own/table.parquet",
                 "plan.json", "own/summary.json"):  # fmt: skip
        (runs / name).write_text("secret")
    made = packed(tmp_path / "a.zip", runs)
    assert {name for name in made.files if name.startswith("results/")} == {
        f"results/exact/{name}" for name in ("plan.json", "summary.json", "effects.parquet")
    }
    assert made.left_out["exact/secrets.json"] == "no plan, summary or table of a command"
    assert made.left_out["own/table.parquet"] == made.left_out["plan.json"] == "in no folder of a command's results"
    assert {"password.txt", "exact/password.txt", "exact/notes.py", "own/summary.json"} <= set(made.left_out)


def test_large_files_stay_where_they_are(runs, tmp_path, monkeypatch):
    sizes = sorted((path.stat().st_size, path.name) for path in (runs / "exact").glob("*.*[nt]"))
    monkeypatch.setattr(bundle, "LARGEST", sizes[-1][0] - 1)
    made = packed(tmp_path / "a.zip", runs)
    assert made.left_out[f"exact/{sizes[-1][1]}"] == f"{sizes[-1][0]} bytes; files up to {sizes[-1][0] - 1} are taken"
    monkeypatch.setattr(bundle, "MOST", sizes[0][0])
    made = packed(tmp_path / "a.zip", runs)
    assert [name for name in made.files if name.startswith("results/")] == [f"results/exact/{sizes[0][1]}"]


def test_the_files_that_results_are_known_by_are_taken():
    names = {name for kind in KINDS for name in (kind.whole, kind.about) if not name.endswith(".npy")}
    # What lies in a folder of parts is left out with it.
    own = sorted(name for name in names - {""} if "/" not in name)
    assert [name for name in own if not bundle.KEPT.fullmatch(name.replace("*", "x"))] == []


def test_an_odd_plan_leaves_the_rest_of_the_methods(runs):
    swept.write_plan(runs / "odd")
    (runs / "odd" / "plan.json").write_text('{"name": "patch_sweep", "config": [1], "recorded": 3}')
    text = as_markdown(find_results(runs), {})
    assert "What was done cannot be told" in text
    assert "The plan's fingerprint is" in text
