"""Sections of what follows a study's features: pathways, replays, words, selections, audits, integrations."""

import importlib.util
import sys
from pathlib import Path

import pytest

from causeway.ports.pages.figures import draw
from causeway.ports.pages.page import render
from causeway.ports.pages.section import Chart, DataTable, FeatureCards, Missing, Prose
from causeway.ports.pages.sections import sections_of
from causeway.ports.pages.workdir import find_results

spec = importlib.util.spec_from_file_location("finished", Path(__file__).parent / "finished.py")
finished = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = finished
spec.loader.exec_module(finished)


def sections(folder, rows=None):
    """By command, of a folder with one result of each."""
    for name, write in finished.CHAINED.items():
        write(folder / name) if rows is None else write(folder / name, rows)
    found = find_results(folder)
    assert {result.driver for result in found if result.whole} == set(finished.CHAINED)
    return {section.anchor.split("-")[0]: section for section in sections_of(found, {})[1:]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return sections(tmp_path_factory.mktemp("chained"))


def of(section, kind):
    return [block for block in section.blocks if isinstance(block, kind)]


def said(section):
    return " ".join(block.text for block in of(section, Prose))


def test_answers_come_first_in_sentences(made):
    assert said(made["pathways"]).startswith("2 of 3 tested pairs of features are pathways")
    assert "1.5 [1, 2] times as large as gradients predict" in said(made["pathways"])
    assert said(made["tokens"]).startswith(
        "1 of 1 feature changes which words are written: 1 is added and 2 are removed"
    )
    assert said(made["replay"]).startswith("Setting 1 feature changes others")
    assert said(made["select"]).startswith("2 features of 9 candidates are followed")
    assert said(made["audit"]).startswith("The results can be built on")
    for section in made.values():
        assert isinstance(section.blocks[0], Prose)
        assert of(section, Missing) == []


def test_charts_hold_what_was_found(made):
    picture, predicted, *_ = of(made["pathways"], Chart)
    rows = picture.table.to_pylist()
    assert [row["detail"] for row in rows if row["part"] == "edge"] == ["L0-0 to L1-5", "L0-2 to L1-5"]
    assert {row["kind"] for row in rows if row["part"] == "edge"} == {"excites"}
    assert predicted.table["predicted"].to_pylist() == [-0.5] * 3
    field = next(chart for chart in of(made["replay"], Chart) if chart.name == "changes")
    assert [(row["row"], row["column"], row["value"]) for row in field.table.to_pylist()] == [
        ("L0-0", "L2-5", 0.5), ("L0-1", "L2-5", -0.5)]  # fmt: skip
    (bars,) = [chart for chart in of(made["tokens"], Chart) if chart.name == "words"]
    assert bars.table["kind"].to_pylist() == ["added", "removed", "removed"]
    (cards,) = of(made["integrate"], FeatureCards)
    assert [card.title for card in cards.cards] == ["L0-0"]
    assert cards.cards[0].promoted == [(finished.WORD, 1.5)]


def test_nothing_found_is_said(tmp_path):
    empty = sections(tmp_path, 0)
    assert "No word was written often enough" in said(empty["tokens"])
    assert "No pair of features was measured" in said(empty["pathways"])
    assert "cannot be built on" in said(empty["audit"])
    for section in empty.values():
        assert isinstance(section.blocks[0], Prose)
        assert of(section, Missing) == []
        assert all(chart.table.num_rows for chart in of(section, Chart))


def test_an_unfinished_result_says_so(tmp_path):
    finished.tokens(tmp_path / "tokens")
    (tmp_path / "tokens" / "associations.parquet").write_bytes(b"PAR1")
    (section,) = sections_of(find_results(tmp_path), {})[1:]
    assert "cannot be shown" in of(section, Missing)[0].text


def test_texts_of_models_and_people_are_rows_and_pages_open_whole(opened, made):
    charts = [chart for section in made.values() for chart in of(section, Chart)]
    for chart in charts:
        assert not {finished.BAD, finished.ARM, finished.GROUP} & set(chart.table.column_names)
    page = opened(render(list(made.values()), "t", "m")).page
    assert page.locator(".chart svg").count() == len(charts)
    assert page.locator("table").count() >= sum(len(of(section, DataTable)) for section in made.values())


def test_the_picture_of_pathways_is_a_file_too(made):
    assert draw(of(made["pathways"], Chart)[0], "svg").startswith(b"<svg")
    assert draw(of(made["pathways"], Chart)[0], "pdf").startswith(b"%PDF")
