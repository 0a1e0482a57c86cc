"""Sections of commands that ask about neurons: second-order effects, errors, edits, adversarial words."""

import importlib.util
import sys
from pathlib import Path

import pytest

from causeway.ports.pages.page import render
from causeway.ports.pages.section import Chart, Missing, Prose
from causeway.ports.pages.sections import sections_of
from causeway.ports.pages.workdir import find_results

spec = importlib.util.spec_from_file_location("finished_neurons", Path(__file__).parent / "finished_neurons.py")
finished = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = finished
spec.loader.exec_module(finished)


def sections(folder, rows=None):
    """By command, of a folder with one result of each."""
    for name, write in finished.ABOUT_NEURONS.items():
        write(folder / name) if rows is None else write(folder / name, rows)
    found = find_results(folder)
    assert {result.driver for result in found if result.whole} == set(finished.ABOUT_NEURONS)
    return {section.anchor.split("-")[0]: section for section in sections_of(found, {})[1:]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return sections(tmp_path_factory.mktemp("neurons"))


def of(section, kind):
    return [block for block in section.blocks if isinstance(block, kind)]


def said(section):
    return " ".join(block.text for block in of(section, Prose))


def chart(section, name):
    return next(block for block in of(section, Chart) if block.name == name)


ANSWERS = {
    "represent": "The model answers 1 of 2 prompts right (50%), by margin.",
    "direction": "tells right and wrong answers apart best, with an AUC of 0.75 [0.50, 1.00] on 4 held-out prompts",
    "rank": "The answers depend most on layers 1: the largest change.",
    "second_order": "What neurons do through one later head has 0.5 times the mass of what they do directly.",
    "components": "half have a direction that holds at least 75%",
    "decompose": "Words describe 1 of 2 neurons better than they describe random directions",
    "ablate": "None of 1 bounds is kept.",
    "errors": "Of 4 prompts 2 count as wrong, 2 as right.",
    "edit": "on prompts that do not say what it is worth: 1:7 \N{MULTIPLICATION SIGN} 2.",
    "polysemanticity": "has 1.5 directions that its effect varies along (by chance 2)",
    "train_dictionary": "the dictionaries explain between 75.0% (layer 1) and 75.0% (layer 1) of the variance",
    "adversarial": "As prompts stand, 0% of the answers are wrong; 0% with random words.",
}


@pytest.mark.parametrize("driver", ANSWERS)
def test_answers_come_first_in_sentences(made, driver):
    assert ANSWERS[driver] in said(made[driver])
    assert isinstance(made[driver].blocks[0], Prose)
    assert of(made[driver], Missing) == []


def test_charts_hold_what_was_found(made):
    assert chart(made["second_order"], "neurons").table["label"].to_pylist() == [
        f"1:7  {finished.BAD}, -b", f"1:8  {finished.BAD}, -b"]  # fmt: skip
    areas = chart(made["errors"], "areas").table.to_pylist()
    assert [(row["kind"], row["value"]) for row in areas] == [("held out", 0.5), ("where chosen", 0.25)]
    (price,) = chart(made["edit"], "price").table.to_pylist()
    assert (price["panel"], price["worth"], price["kind"]) == ("unrelated text", 0.5, "chosen")
    margins = chart(made["represent"], "margins").table.to_pylist()
    assert [(row["value"], row["kind"]) for row in margins] == [(1.5, "right"), (-0.5, "wrong")]
    assert chart(made["adversarial"], "margins").table.num_rows == 1


def test_nothing_found_is_said(tmp_path):
    for section in sections(tmp_path, 0).values():
        assert isinstance(section.blocks[0], Prose)
        assert of(section, Missing) == []
        assert all(block.table.num_rows for block in of(section, Chart))


def test_texts_of_models_and_people_are_rows_and_pages_open_whole(opened, made):
    charts = [block for section in made.values() for block in of(section, Chart)]
    for block in charts:
        assert finished.BAD not in block.table.column_names
    page = opened(render(list(made.values()), "t", "m")).page
    assert page.locator(".chart svg").count() == len(charts)
