"""`causeway report`: a page and figures of a folder, without jax, and its refusals."""

import importlib.util
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[1] / "ports" / "pages" / "swept.py"
spec = importlib.util.spec_from_file_location("swept", _PATH)
swept = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = swept
spec.loader.exec_module(swept)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return swept.write_sweep(tmp_path_factory.mktemp("report") / "exact")


def test_a_page_and_its_figures(drive, sweep, tmp_path):
    page, again = tmp_path / "seen.html", [f"--workdir={sweep}"]
    first, default, refused, replaced = drive(
        "report", [*again, f"--out={page}", "--figures=png,svg"], again, again, [*again, "--overwrite"]
    )
    assert first["out"].startswith(f"1 results, 0 of them unfinished: {page}\n")
    assert "<title>Results in exact</title>" in page.read_text()
    pictures = sorted(path.name for path in (tmp_path / "seen_figures").iterdir())
    assert "patch_sweep-forest_p_bet.png" in pictures
    assert len(pictures) == 2 * sum(name.endswith(".svg") for name in pictures)
    assert (default["status"], replaced["status"], (sweep / "report.html").is_file()) == (0, 0, True)
    assert refused["err"].strip().endswith(f"--out: {sweep / 'report.html'} is there already; "
                                           "give another file or --overwrite")  # fmt: skip
    assert first["compiled"] == []


def test_a_bundle_beside_the_page(drive, sweep, tmp_path):
    page, bundle = tmp_path / "page.html", tmp_path / "sent.zip"
    (done,) = drive("report", [f"--workdir={sweep}", f"--out={page}", f"--bundle={bundle}"])
    assert done["status"] == 0
    counted, _, rest = done["out"].splitlines()[1].partition(" files, ")
    with zipfile.ZipFile(bundle) as archive:
        assert int(counted) == len(archive.namelist())
        assert "figures/patch_sweep-forest_p_bet.png" in archive.namelist()
    assert rest.startswith(f"{bundle.stat().st_size / 1e6:.1f} MB: {bundle}; ")
    assert rest.endswith("are left out, as its contents.json says")


def test_no_jax_is_imported(sweep, tmp_path):
    command = ["causeway report", f"--workdir={sweep}", f"--out={tmp_path / 'page.html'}"]
    code = f"""
import sys
from causeway.drivers import report
from causeway.drivers.flags.refusals import run_driver
try:
    run_driver(report.main, {command!r})
finally:
    print("jax" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert (tmp_path / "page.html").is_file()


def test_where_no_bundle_can_be_made_no_page_is(drive, sweep, tmp_path):
    page, file = tmp_path / "page.html", tmp_path / "file"
    file.touch()
    (done,) = drive("report", [f"--workdir={sweep}", f"--out={page}", f"--bundle={file / 'sent.zip'}"])
    assert done["status"] == 2
    assert not page.exists()


def test_two_folders_compared(drive, sweep, tmp_path):
    page = tmp_path / "both.html"
    (done,) = drive("report", [f"--compare={sweep},{sweep}", f"--out={page}"])
    assert (done["status"], done["out"]) == (0, f"1 results compared: {page}\n")
    assert "<title>exact and exact, compared</title>" in page.read_text()


GRAPH = {
    "metadata": {"slug": "g", "scan": "m", "prompt": "a", "prompt_tokens": ["a"]},
    "qParams": {"pinnedIds": ["E_1_0"], "supernodes": [["mine", "0_5_0"]], "other": 1},
    "nodes": [
        {"node_id": name, "feature": 0, "layer": layer, "ctx_idx": 0, "feature_type": kind, "jsNodeId": "", "clerp": ""}
        for name, layer, kind in (("E_1_0", "E", "embedding"), ("0_5_0", "0", "cross layer transcoder"))
    ],
    "links": [{"source": "E_1_0", "target": "0_5_0", "weight": 1.5}],
}  # fmt: skip


def test_a_graph_file_of_another_program_is_shown_as_it_is(drive, tmp_path):
    path, none = tmp_path / "g.json", tmp_path / "none.json"
    path.write_text(json.dumps(GRAPH))
    none.write_text("{}")
    one, folder, refused = drive(
        "report", [f"--graph={path}"], [f"--graph={tmp_path}"], [f"--graph={none}", f"--out={tmp_path / 'n.html'}"]
    )
    assert one["out"] == f"1 graph: {tmp_path / 'g.html'}\n"
    assert folder["out"] == f"1 graph: {tmp_path / 'report.html'}\n"
    data = re.search(r'id="graph-1-graph-data">(.*?)</script>', (tmp_path / "g.html").read_text(), re.DOTALL)[1]
    assert json.loads(data)["document"] == GRAPH
    assert f"--graph: {none}: has no metadata with prompt_tokens" in refused["err"]
    assert one["compiled"] == []


def test_refusals(drive, sweep, tmp_path):
    cases = {
        (): "--workdir: got nothing",
        (f"--workdir={tmp_path / 'none'}", f"--out={tmp_path / 'a.html'}"): "needs a folder that a command wrote",
        (f"--workdir={tmp_path}",): "holds no results of a command",
        (f"--workdir={sweep}", f"--out={tmp_path / 'page'}"): "needs the name of a file that ends in .html",
        (f"--workdir={sweep}", "--figures=jpg"): "--figures: got 'jpg'",
        (
            f"--workdir={sweep}",
            f"--out={tmp_path / 'b.html'}",
            "--bundle=a.tar",
        ): "--bundle: got a.tar; needs the name of",
        (f"--compare={sweep}", "--out=a.html"): "needs two folders, A,B",
        (f"--compare={sweep},{sweep}",): "--out: got nothing; needs the page to write",
        (f"--compare={sweep},{sweep / 'none'}", "--out=a.html"): f"--compare: got {sweep / 'none'}; needs a folder",
        (f"--compare={sweep},{sweep}", f"--workdir={sweep}"): "--workdir, --compare: were given together",
        (f"--workdir={sweep}", "--out="): "--out: got nothing after the =; give a value or leave it out",
        (f"--workdir={sweep}", "--bundle="): "--bundle: got nothing after the =",
        ("--compare=", f"--workdir={sweep}"): "--compare: got nothing after the =",
        ("--graph=a.json", "--bundle=a.zip"): "--bundle: without effect with --graph",
    }
    for (arguments, message), done in zip(cases.items(), drive("report", *cases), strict=True):
        assert done["status"] == 2, arguments
        assert message in done["err"]
        assert done["err"].count("\n") == 1


def test_a_folder_that_is_not_there_is_refused_before_what_draws_is_imported(tmp_path):
    code = (
        "import sys; from causeway.drivers import main\n"
        "try: main.run()\n"
        "except SystemExit as end: print(end.code, {'altair', 'jax'} & set(sys.modules))"
    )
    line = [sys.executable, "-P", "-c", code, "report", f"--workdir={tmp_path / 'none'}"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr.count("\n")) == ("2 set()\n", 1)
