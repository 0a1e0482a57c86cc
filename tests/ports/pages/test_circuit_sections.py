"""Sections of graphs and interventions: a folder's results find each other by weights, dictionaries and prompt."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from causeway.engine.analyses.virtual_weights.virtual_weights import VirtualWeights
from causeway.ports.graphs.virtual_weight_table import write_virtual_weights
from causeway.ports.pages.page import render
from causeway.ports.pages.section import Chart, DataTable, GraphView, Missing, Prose
from causeway.ports.pages.sections import SECTIONS, sections_of
from causeway.ports.pages.workdir import find_results
from tests.ports.pages.test_explorer import counted, document

QUESTIONS = {"attribute": "what inside?", "intervene": "what changes?"}
ROW = {
    "prompt": 0, "id": "one", "kind": "single", "operation": "zero", "value": None, "layer": 0, "position": 1,
    "place": "end-0", "features": [5], "baseline": 2.0, "intervened": 1.5, "predicted": -0.7,
}  # fmt: skip
# Of another prompt, of a feature that is not in the graph, of two features that are, and without a prediction.
ROWS = [
    ROW, ROW | {"id": "two", "prompt": 1}, ROW | {"features": [99]},
    ROW | {"kind": "circuit", "features": [5, 6], "intervened": 0.5}, ROW | {"features": [6], "predicted": None},
]  # fmt: skip
EFFECT = {
    "kind": "single", "operation": "zero", "value": None, "layer": 0, "place": "end-0", "features": [5], "prompts": 12,
    "effect": 0.5, "effect_low": 0.2, "effect_high": 0.8, "p": 0.01, "q": 0.02, "recovery": None,
}  # fmt: skip


def write(folder, name, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"weights": "w", "dictionaries": "d"}
    plan = {"name": name, "parts": parts, "units": [[1, 1]], "config": {"settings": {"holds": "open", **settings}}}
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder


def write_graphs(folder, ids=("one",)):
    write(folder, "attribute")
    (folder / "graphs").mkdir()
    scores = []
    for name in ids:
        (folder / "graphs" / f"{name}.json").write_text(json.dumps(document()))
        scores.append({"id": name, "slug": name, "replacement": 0.9, "completeness": 0.8, "kept_edges": 10})
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in scores))
    return folder


def write_interventions(folder, **settings):
    write(folder, "intervene", **settings)
    table = {name: [[row[name] for row in ROWS]] for name in ROW}
    pq.write_table(pa.table(table), folder / "interventions.parquet")
    (folder / "b").mkdir()
    summary = {"effects": [EFFECT], "predicted_and_measured": [{"id": "one", "operation": "zero", "slope": 0.7}]}
    (folder / "b" / "intervention_ablation_b_summary.json").write_text(json.dumps(summary))
    return folder


def sections(folder):
    return {section.anchor: section for section in sections_of(find_results(folder), QUESTIONS)}


def blocks(section, kind):
    return [block for block in section.blocks if isinstance(block, kind)]


def test_a_graph_shows_what_was_measured_on_its_features_with_attention_open_and_as_it_was(tmp_path, opened):
    write_graphs(tmp_path / "graphs_of")
    write_interventions(tmp_path / "open")
    write_interventions(tmp_path / "frozen", holds="freeze_attention")
    other = write_interventions(tmp_path / "other")
    plan = json.loads((other / "plan.json").read_text())
    (other / "plan.json").write_text(json.dumps(plan | {"parts": {"weights": "w", "dictionaries": "else"}}))
    found = sections(tmp_path)
    (view,) = blocks(found["attribute-graphs_of"], GraphView)
    told = [(row["nodes"], row["holds"], row["predicted"], row["measured"]) for row in view.graph["measured"]]
    assert sorted(told, key=str) == sorted(
        ((nodes, holds, predicted, measured)
         for nodes, predicted, measured in (([2], -0.7, -0.5), ([2, 3], -0.7, -1.5), ([3], None, -0.5))
         for holds in ("following the change", "as it was")), key=str,
    )  # fmt: skip
    page = opened(render(list(found.values()), "t", "m")).page
    counted(page, "7 of 7 nodes, 10 of 10 edges")


def test_effects_and_predictions_are_shown(tmp_path):
    write_interventions(tmp_path / "open")
    section = sections(tmp_path)["intervene-open"]
    scatter, forest = blocks(section, Chart)
    assert scatter.table.select(["predicted", "measured"]).to_pylist() == 3 * [{"predicted": -0.7, "measured": -0.5}]
    assert forest.table["verdict"].to_pylist() == ["causal"]
    assert [table.table.num_rows for table in blocks(section, DataTable)] == [1, 1]


def test_a_page_holds_a_dozen_graphs_and_says_how_the_others_are_seen(tmp_path):
    folder = write_graphs(tmp_path / "run", [f"p{i:02}" for i in range(14)])
    (folder / "graphs" / "p03.json").unlink()
    section = sections(tmp_path)["attribute-run"]
    assert len(blocks(section, GraphView)) == 12
    (missing,) = blocks(section, Missing)
    assert missing.text.startswith("1 more graphs")
    assert missing.command.endswith("p13.json")


def test_graphs_that_were_saved_alone_are_found_and_one_run_is_one_result(tmp_path):
    folder = write_graphs(tmp_path / "demo", ["one", "two"])
    listing = {"graphs": [{"slug": "two", "prompt": "a"}]}
    (folder / "graphs" / "graph-metadata.json").write_text(json.dumps(listing))
    (tmp_path / "exported_model").mkdir()
    for name in ("edit.json", "model.safetensors"):
        (tmp_path / "exported_model" / name).write_text("{}")
    assert [(one.driver, one.whole) for one in find_results(tmp_path)] == [("attribute", True)]
    (folder / "scores.jsonl").unlink()
    assert "No graphs yet" in blocks(sections(tmp_path)["attribute-demo"], Missing)[0].text
    (folder / "plan.json").unlink()
    section = sections(tmp_path)["attribute-demo"]
    assert [view.title for view in blocks(section, GraphView)] == ["Graph of “The cat”"]
    assert "The prompt of two: The cat" in [block.text for block in blocks(section, Prose)]
    assert blocks(section, Missing) == []


@pytest.mark.parametrize("count", [0, 3])
def test_virtual_weights_name_both_layers_and_the_largest_is_first(tmp_path, count):
    source, weight = np.array([[4, 2], [9, -1]])[:count], np.array([[0.5, -0.25], [-2.0, 0.0]])[:count]
    about = {"weight": "a unit each", "weighting": "raw", "source_layer": "1", "target_layer": "3"}
    write_virtual_weights(tmp_path / "w" / "virtual_weights.parquet", VirtualWeights(source, weight), about)
    section = sections(tmp_path)["virtual_weights-w"]
    said = blocks(section, Prose)[0].text
    if not count:
        assert said == "No feature of layer 3 reads what one of layer 1 writes."
        return
    assert said == "The largest weight is -2, from feature 9 of layer 1 to feature 1 of layer 3."
    (chart,) = blocks(section, Chart)
    assert chart.table["pair"].to_pylist() == ["9 to 1", "4 to 0", "2 to 0"]
    (table,) = blocks(section, DataTable)
    assert table.table["weight"].to_pylist() == [-2.0, 0.5, -0.25]


def test_what_is_unfinished_or_damaged_is_said(tmp_path):
    write(tmp_path / "begun", "attribute")
    folder = write_graphs(tmp_path / "damaged")
    (folder / "graphs" / "one.json").write_text('{"nodes": 5}')
    found = sections(tmp_path)
    assert "No graphs yet: 0 of 1 units" in blocks(found["attribute-begun"], Missing)[0].text
    assert "cannot be shown" in blocks(found["attribute-damaged"], Missing)[0].text


def test_no_section_imports_jax():
    names = ", ".join(f"causeway.ports.pages.sections.{name}" for name in sorted(SECTIONS))
    code = f"import sys, {names}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
