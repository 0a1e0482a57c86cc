"""Pages of folders: what is there, whole or not, and a sweep's section."""

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from causeway.ports.pages.comparison import compared
from causeway.ports.pages.figures import draw, write_figures
from causeway.ports.pages.page import encoded, render
from causeway.ports.pages.section import Chart, DataTable, Missing, Prose
from causeway.ports.pages.sections import sections_of
from causeway.ports.pages.table_data import script_json
from causeway.ports.pages.workdir import find_results

spec = importlib.util.spec_from_file_location("swept", Path(__file__).parent / "swept.py")
swept = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = swept
spec.loader.exec_module(swept)
QUESTIONS = {"screen": "which differ?", "patch_sweep": "which of them matter?"}


@pytest.fixture(scope="session")
def sweep(tmp_path_factory):
    return swept.write_sweep(tmp_path_factory.mktemp("pages") / "runs" / "exact")


def page_of(folder):
    return sections_of(find_results(folder), QUESTIONS)


def blocks(section, kind):
    return [block for block in section.blocks if isinstance(block, kind)]


def test_a_sweep_shows_its_strongest_effects_with_all_charts_drawn(opened, sweep):
    overview, section = page_of(sweep)
    names = [chart.name for chart in blocks(section, Chart)]
    assert names[:5] == [f"{kind}_p_bet" for kind in ("forest", "volcano", "doses", "layers", "controls")]
    strongest = blocks(section, Chart)[0].table.to_pylist()[0]
    assert (strongest["layer"], strongest["feature"], strongest["verdict"]) == (2, 7, "causal")
    assert strongest["low"] < strongest["effect"] < strongest["high"]
    steps = [
        row for row in blocks(section, Chart)[2].table.to_pylist() if (row["label"], row["value"]) == ("2/7", "risky")
    ]
    assert [row["dose"] for row in steps] == [0.25, 0.5, 0.75, 1, 1.5]
    page = opened(render([overview, section], "t", "m")).page
    assert page.locator(".chart svg").count() == len(names)
    assert page.locator(".chart svg .mark-symbol path").count() > 20


def test_a_feature_that_is_not_causal_says_what_it_fails(sweep):
    rows = blocks(page_of(sweep)[1], DataTable)[0].table.to_pylist()
    assert rows[0]["verdict"] == "causal"
    assert rows[0]["fails"] == ""
    assert all(row["fails"] for row in rows if row["verdict"] == "not causal")
    assert "≤ 0.05" in rows[-1]["fails"]


def test_every_chart_is_a_picture_too(sweep, tmp_path):
    sections = page_of(sweep)
    charts = blocks(sections[1], Chart)
    written = write_figures(sections, tmp_path / "figures", ["svg"])
    assert len(written) == len(charts)
    assert all(path.read_text().startswith("<svg") for path in written)
    assert draw(charts[0], "png").startswith(b"\x89PNG")


def test_a_folder_of_many_shows_all_and_what_goes_on_with_the_unfinished(sweep, tmp_path):
    (tmp_path / "first").symlink_to(sweep)
    swept.write_sweep(tmp_path / "other")
    swept.write_plan(tmp_path / "half", units=12, done=5)
    overview, *sections = page_of(tmp_path)
    assert [section.anchor for section in sections] == ["patch_sweep-half", "patch_sweep-other"]
    table = blocks(overview, DataTable)[0].table.to_pylist()
    assert [row["state"] for row in table] == ["unfinished, 5 of 12 units", "whole, 4 of 4 units"]
    (missing,) = blocks(overview, Missing)
    assert "5 of 12 units" in missing.text
    assert missing.command == f"causeway patch_sweep --model=bundled:tiny ... --workdir={tmp_path / 'half'}"
    assert "outcome exact; scope last_prompt" in missing.text
    assert "5 of 12 units" in blocks(sections[0], Missing)[0].text
    assert render([overview, *sections], "t", "m")


def test_results_that_cannot_be_read_leave_the_rest(sweep, tmp_path):
    swept.write_sweep(tmp_path / "good")
    swept.write_plan(tmp_path / "bad")
    (tmp_path / "bad" / "effects.parquet").write_bytes(b"PAR1 nothing")
    (tmp_path / "bad" / "summary.json").write_text("{")
    _, bad, good = page_of(tmp_path)
    assert "cannot be shown" in blocks(bad, Missing)[0].text
    assert blocks(good, Chart)


ODD = {
    "plan.json": ["[1]", '{"name": "patch_sweep", "units": 5}', '{"name": "patch_sweep", "units": null}',
                  '{"name": "patch_sweep", "units": [1, [2]], "config": [], "recorded": 3}'],
    "summary.json": ["[]", '{"outcomes": null, "reading": null}', '{"reading": [], "environment": [1]}'],
    "study.json": ["[1]", '{"results": [1]}', '{"results": 5}'],
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), [(name, content) for name, all_ in ODD.items() for content in all_])
def test_an_odd_file_leaves_the_rest_of_the_page(sweep, tmp_path, name, content):
    shutil.copytree(sweep, tmp_path / "good")
    shutil.copytree(sweep, tmp_path / "odd")
    (tmp_path / "odd" / name).write_text(content)
    sections = page_of(tmp_path)
    assert render(sections, "t", "m")
    assert blocks(next(section for section in sections if section.anchor.endswith("good")), Chart)
    assert render(compared(tmp_path, tmp_path, QUESTIONS), "t", "m")


def test_half_a_surrogate_pair_is_a_sign_like_another(sweep, tmp_path):
    folder = shutil.copytree(sweep, tmp_path / "odd")
    swept.write_plan(Path(os.fsdecode(os.fsencode(tmp_path) + b"/z\xff")))
    for name, field in (("plan.json", "about"), ("summary.json", "warnings")):
        content = json.loads((folder / name).read_text())
        content[field] = {"model": "\ud800m"} if name == "plan.json" else ["\ud800w"]
        (folder / name).write_text(json.dumps(content))
    sections = page_of(folder.parent)
    assert blocks(sections[1], Chart)
    assert [block.text for block in blocks(sections[1], Prose) if block.text == "?w"]
    assert b"?m" in encoded(render(sections, "\ud800", "m"))
    assert json.loads(script_json(["\ud800", "\U0001f600"]).encode()) == ["\ud800", "\U0001f600"]


def test_what_cannot_be_shown_names_the_folder_and_the_error(sweep, tmp_path):
    folder = shutil.copytree(sweep, tmp_path / "odd")
    (folder / "summary.json").write_text('{"outcomes": null, "reading": null}')
    (folder / "plan.json").write_text('{"name": "patch_sweep", "config": [1]}')
    said = [block.text for block in blocks(page_of(folder)[1], Missing)]
    assert [text.partition(": ")[0] for text in said] == [
        "This part cannot be shown", "What this was made from cannot be shown"]  # fmt: skip
    assert all(str(folder) in text and "Error: " in text for text in said)


def test_a_sweep_that_moves_nothing_says_so(tmp_path):
    table = swept.trials(prompts=4, moved=())
    still = table.filter([arm in ("baseline", "noop", "patch:safe", "patch:risky") for arm in table["arm"].to_pylist()])
    for name in ("p_stop", "p_bet"):
        still = still.set_column(still.schema.get_field_index(name), name, [[0.5] * still.num_rows])
    _, section = page_of(swept.write_sweep(tmp_path / "still", still))
    assert not blocks(section, Chart)
    assert any("No feature changes log_odds, p_bet" in prose.text or "No feature changes p" in prose.text
               for prose in blocks(section, Prose))  # fmt: skip


def test_an_empty_table_of_effects_is_shown_as_empty(sweep, tmp_path):
    empty = tmp_path / "empty"
    swept.write_plan(empty)
    pq.write_table(pq.read_table(sweep / "effects.parquet").slice(0, 0), empty / "effects.parquet")
    (empty / "summary.json").write_bytes((sweep / "summary.json").read_bytes())
    assert "has no rows" in render(page_of(empty), "t", "m")


def test_names_that_are_code_are_texts(opened, tmp_path):
    folder = swept.write_sweep(tmp_path / "<img src=x onerror=alert(1)>")
    about = json.loads((folder / "summary.json").read_text())
    about["warnings"] = ["<script>alert(1)</script>"]
    (folder / "summary.json").write_text(json.dumps(about))
    page = opened(render(page_of(tmp_path), str(tmp_path), "m")).page
    assert page.locator("img").count() == 0
    assert "<script>alert(1)</script>" in page.locator("p.warning").text_content()


@pytest.mark.parametrize("make", [lambda p: p / "none", lambda p: p])
def test_folders_without_results_are_refused(tmp_path, make):
    with pytest.raises(ValueError, match="workdir: "):
        find_results(make(tmp_path))
