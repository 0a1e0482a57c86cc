"""Every notebook runs on the bundled model, in the order of its cells, and prints what it was committed with."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
spec = importlib.util.spec_from_file_location("printed_pages", Path(__file__).parent / "printed_pages.py")
printed = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = printed
spec.loader.exec_module(printed)
FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
LIMIT = 300_000


def said(cell):
    """What a cell has printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")


def pictures(cell):
    """The pictures below a cell."""
    return [output for output in cell.outputs if "image/png" in output.get("data", {})]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_prints_what_it_shows(tmp_path, name):
    shown = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    ran = nbformat.from_dict(shown)
    place = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    client = nbclient.NotebookClient(ran, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=place)
    for before, after in zip(shown.cells, ran.cells, strict=True):
        if before.cell_type == "code":
            absent = printed.missing(said(before), said(after))
            assert not absent, f"{name}: does not print {absent!r}, but\n{said(after)}"
            assert len(pictures(before)) == len(pictures(after)), before.source


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_committed_as_it_ran_and_its_links_lead_somewhere(name):
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size < LIMIT
    book = nbformat.read(path, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any(map(pictures, code))
    for cell in book.cells:
        if cell.cell_type == "markdown":
            for target in printed.links(cell.source):
                assert (FOLDER / target).exists(), f"{name}: {target}"
