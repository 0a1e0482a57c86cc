"""Sections of screens, baselines, features, studies and recorded sweeps, from files as commands write them."""

import json

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.features.extract import LayerFeatures
from causeway.engine.analyses.screen.accumulate import GroupSums
from causeway.engine.analyses.screen.table import screen_table
from causeway.engine.sweep.layout import ArraySpec, Layout, UnitResult
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.store import Store
from causeway.engine.sweep.table import write_table
from causeway.ports.pages.page import render
from causeway.ports.pages.section import Cards, Chart, DataTable, Missing
from causeway.ports.pages.sections import sections_of
from causeway.ports.pages.sections.trace_rows import responses, trace_rows
from causeway.ports.pages.workdir import find_results
from causeway.ports.results import baseline_files, feature_files

GROUPS = ("safe:Q", "</script>[0].x")


def write_screen(folder, strata=None):
    rng, sums, labels = np.random.default_rng(0), GroupSums(GROUPS), list(GROUPS) * 20
    for layer in (0, 2):
        values = np.abs(rng.normal(size=(40, 6)))
        values[:, 0] = 0
        values[1::2, 3] += 4 * (layer == 2)
        sums.update(layer, values, labels, strata)
    folder.mkdir(parents=True)
    write_table(folder / "screen.parquet", screen_table(sums))


def write_baseline(folder):
    folder.mkdir(parents=True)
    metrics = {
        "prompts": 3, "groups": 30, "decision": "FAIL", "certain": True, "min_score_diff": 2.0,
        "success_threshold": 0.8,
        "margin_success": {"rate": 1 / 3, "low": 0.1, "high": 0.7},
        "sign_accuracy": {"rate": 1.0, "low": None, "high": None},
    }  # fmt: skip
    few = metrics | {"groups": 3, "decision": "PASS", "certain": False, "margin_success": {"rate": 1.0, "low": None}}
    lines = [
        {"id": f"a_{i}", "group": "g", "prompt": text, "correct_answer": "1", "incorrect_answer": "2",
         "normalised_difference": 1.5 - i, "margin_success": i == 0}
        for i, text in enumerate(["one", "two\nlines, \"quoted\"", "<script>alert(1)</script>"])
    ]  # fmt: skip
    for split, found in {"train": metrics, "test": few}.items():
        baseline_files.write_table(baseline_files.table_path(folder, "sums", split), lines)
        baseline_files.write_metrics(folder, split, {"behaviours": {"sums": found}, "model": "bundled:tiny"})


def write_features(folder):
    folder.mkdir(parents=True)
    share = np.linspace(0, 1, 7)
    layers = [
        LayerFeatures(layer, np.zeros((5, 2), np.int32), np.ones((5, 2), np.float32), share, share / 2, share / 3,
                      np.array([4, 2]), np.array([1.5, 0.5 + layer])) for layer in (0, 3)
    ]  # fmt: skip
    for found in layers:
        feature_files.write_layer(folder, "sums", "test", found, {})
    about = {"behaviour": "sums", "split": "test", "prompts": 2, "samples": 5, "positions": "last_5", "kind": "relu",
             "stream": "mlp_in", "layers": [feature_files.layer_figures(found) for found in layers]}  # fmt: skip
    feature_files.write_summary(folder, "sums", "test", np.zeros((5, 2)), about)


def write_study(folder):
    folder.mkdir(parents=True, exist_ok=True)
    done = {"stage": "a", "status": "done", "why": "", "seconds": 3.0, "cpu_seconds": 2.0, "peak_bytes": 5e8,
            "disk_bytes": 1e6, "command": "causeway screen --out=a"}  # fmt: skip
    failed = {"stage": "b", "status": "failed", "why": "no <memory>", "seconds": None}
    page = {"study": "toy", "stages": {name: {"driver": "screen"} for name in "abc"}, "results": [done, failed]}
    (folder / "study.json").write_text(json.dumps(page))


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    """By command, of a folder that has one result of each."""
    folder = tmp_path_factory.mktemp("several")
    for name, write in {"s": write_screen, "b": write_baseline, "f": write_features, "st": write_study}.items():
        write(folder / name)
    questions = dict.fromkeys(("study", "evaluate", "features", "screen"), "what?")
    results = sorted(find_results(folder), key=lambda result: list(questions).index(result.driver))
    found = sections_of(results, questions)
    return {"overview": found[0]} | {result.driver: one for result, one in zip(results, found[1:], strict=True)}


def blocks(section, kind):
    return {
        block.name if kind is not Missing else i: block
        for i, block in enumerate(section.blocks)
        if isinstance(block, kind)
    }


def test_all_of_them_open_together_whatever_their_names_are(opened, sections):
    page = opened(render(list(sections.values()), "t", "m")).page
    charts = [chart for section in sections.values() for chart in blocks(section, Chart)]
    assert page.locator(".chart svg").count() == len(charts) == 8
    assert page.locator("nav a").count() == 5


def test_a_screen_shows_what_differs_first(sections):
    charts = blocks(sections["screen"], Chart)
    means = charts["means"].table.to_pylist()
    assert [row["label"] for row in means[:2]] == ["2/3", "2/3"]
    assert [row["group"] for row in means[:2]] == list(GROUPS)
    assert means[1]["value"] > means[0]["value"] + 3
    table = blocks(sections["screen"], DataTable)["features"].table
    assert table.num_rows == 10
    assert np.all(np.diff(np.abs(table["d"].to_numpy())) <= 0)


def test_strata_are_what_counts_where_there_are_any(tmp_path):
    write_screen(tmp_path / "s", ["low"] * 20 + ["high"] * 20)
    _, section = sections_of(find_results(tmp_path), {})
    table = blocks(section, DataTable)["features"].table
    assert "d_stratified" not in table.column_names
    assert any("within strata" in getattr(block, "text", "") for block in section.blocks)


def test_a_baseline_shows_rates_and_the_least_clear_prompts_first(sections):
    rows = blocks(sections["evaluate"], Chart)["rates"].table.to_pylist()
    assert [(row["label"], row["measure"], row["bound"]) for row in rows[:2]] == [
        ("sums, test", "margin success", 0.8), ("sums, test", "sign accuracy", None)
    ]  # fmt: skip
    prompts = blocks(sections["evaluate"], DataTable)["prompts"].table.to_pylist()
    assert [row["normalised_difference"] for row in prompts] == [-0.5, -0.5, 0.5, 0.5, 1.5, 1.5]
    assert prompts[0]["prompt"] == "<script>alert(1)</script>"


def test_a_baseline_of_few_groups_passes_nowhere(sections):
    assert blocks(sections["evaluate"], DataTable)["verdicts"].table["verdict"].to_pylist() == [
        "cannot tell: 3 groups, 10 needed", "FAIL",
    ]  # fmt: skip
    (cards,) = (block for block in sections["evaluate"].blocks if isinstance(block, Cards))
    assert [(card.value, card.note) for card in cards.cards if "clear enough" in card.label] == [
        ("0", "by the threshold of each; of 1 nothing can be told")
    ]


def test_features_are_shown_by_layer_and_frequency(sections):
    rows = blocks(sections["features"], Chart)["active"].table.to_pylist()
    assert [(row["layer"], row["active_a_token"]) for row in rows] == [(0, 1.0), (3, 2.5)]
    frequent = blocks(sections["features"], DataTable)["frequent"].table
    assert frequent["frequency"].to_pylist() == sorted(frequent["frequency"].to_pylist(), reverse=True)


def test_a_study_shows_its_stages_and_what_is_left(sections):
    table = blocks(sections["study"], DataTable)["stages"].table.to_pylist()
    assert [(row["stage"], row["status"], row["peak"]) for row in table] == [
        ("a", "done", 500.0), ("b", "failed", None), ("c", "not run", None)
    ]  # fmt: skip
    (missing,) = blocks(sections["study"], Missing).values()
    assert "b: failed, no <memory>; c: not run" in missing.text


def test_results_of_a_study_tell_the_command_that_made_them(tmp_path):
    write_study(tmp_path)
    write_screen(tmp_path / "a")
    (found,) = (result for result in find_results(tmp_path) if result.driver == "screen")
    assert found.command == "causeway screen --out=a"


TEXTS = ("group", "arm", "response")
COLUMNS = ("prompt_id", "group", "layer", "feature", "arm", "trial", "array_row", "response")
TRIALS = pa.schema([(name, pa.string() if name in TEXTS else pa.int32()) for name in COLUMNS])


def write_recorded(folder, reader):
    """A prompt a unit, of each its baseline and one feature's patch; values are 10 prompt + row + step."""
    rows = [(p, ("safe", "risky")[p % 2], *what, 0, 2 * p + i, f"text {p}") for p in range(3)
            for i, what in enumerate([(-1, -1, "baseline"), (5, 7, "patch:safe")])]  # fmt: skip
    about = {"layers": [1, 5]} | ({"features": [[0, 0], [9, 7]]} if reader == "selected" else {})
    shape, axes = (3, 2, 2), ("step", "layer", "feature")
    specs = {"values": ArraySpec(shape, "float32", axes, about), "valid": ArraySpec((3,), "bool", ("step",))}
    if reader == "top_k":
        specs["ids"] = ArraySpec(shape, "int32", axes, about)
    plan = Plan("patch_sweep", {}, {}, (2, 2, 2), Layout(TRIALS, "trials", specs), {})
    store = Store(folder, plan)
    with store.writing():
        for unit in range(3):
            values = np.full((2, *shape), -1, np.float32)
            values[:, :, 1, 1] = 10 * unit + np.arange(2)[:, None] + np.arange(3)
            ids = np.broadcast_to(np.array([[0, 1], [9, 7]], np.int32), (2, *shape)).copy()
            ids[:, 2] = 3
            arrays = {"values": values, "ids": ids, "valid": np.array([[1, 1, 1], [1, 1, 0]], bool)}
            own = [row for row in rows if row[0] == unit]
            table = {name: list(column) for name, column in zip(TRIALS.names, zip(*own, strict=True), strict=True)}
            store.commit(unit, UnitResult(table, {name: arrays[name] for name in specs}), {})
        store.merge()


@pytest.mark.parametrize("reader", ["top_k", "selected"])
def test_traces_are_the_recorded_values_of_the_first_prompt_of_each_group(tmp_path, reader):
    write_recorded(tmp_path, reader)
    found = trace_rows(tmp_path, [(5, 7), (1, 4), (2, 0)]).to_pylist()
    # The third step's strongest are others, where the strongest are all that is known.
    last = 0.0 if reader == "top_k" else 2.0
    expected = [
        ("baseline", 0, 0.0),
        ("baseline", 1, 1.0),
        ("baseline", 2, last),
        ("patch:safe", 0, 1.0),
        ("patch:safe", 1, 2.0),
    ]
    own = [row for row in found if row["label"] == "5/7, safe, prompt 0"]
    assert [(row["arm"], row["step"], row["value"]) for row in own] == expected
    assert {row["label"] for row in found if row["label"].startswith("5/7")} == {
        "5/7, safe, prompt 0",
        "5/7, risky, prompt 1",
    }
    assert not any(row["label"].startswith("2/0") for row in found)
    assert responses(trace_rows(tmp_path, [(5, 7)]))["response"].to_pylist() == ["text 1", "text 1", "text 0", "text 0"]
