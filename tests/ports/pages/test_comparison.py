"""Two folders beside each other: what differs in their plans, and whether they measured the same."""

import importlib.util
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from causeway.drivers.main import QUESTIONS
from causeway.ports.pages.comparison import compared
from causeway.ports.pages.comparison.joins import UNCHANGED, _one_way
from causeway.ports.pages.page import render
from causeway.ports.pages.section import Cards, Chart, DataTable, Missing, Prose

spec = importlib.util.spec_from_file_location("swept", Path(__file__).with_name("swept.py"))
swept = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = swept
spec.loader.exec_module(swept)


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    return swept.write_sweep(folder / "a"), swept.write_sweep(folder / "b", swept.trials(seed=1))


def blocks(section, kind):
    return [block for block in section.blocks if isinstance(block, kind)]


def test_effects_are_joined_by_their_keys(opened, sweeps):
    first, second = sweeps
    sections = compared(first, second, QUESTIONS)
    section = sections[1]
    assert [card.value for card in blocks(section, Cards)[0].cards][1:] == ["0", "0"]
    table = next(block for block in blocks(section, DataTable) if block.title.endswith("p_bet")).table
    effects = [pq.read_table(folder / "effects.parquet").to_pylist() for folder in sweeps]
    found = {
        (row["layer"], row["feature"], row["contrast"].replace("noop", "unchanged")): (row["effect"], other["effect"])
        for row, other in zip(*effects, strict=True)
        if row["outcome"] == "p_bet" and row["group"] == "all" and row["role"] == "tested"
    }
    tested = [row for row in table.to_pylist() if row["contrast"].endswith("unchanged")]
    assert len(tested) == len(found) > 20
    for row in tested:
        assert (row["first"], row["second"]) == found[row["layer"], row["feature"], row["contrast"]]
        assert row["difference"] == row["second"] - row["first"]
    sizes = [abs(row["difference"]) for row in table.to_pylist()]
    assert sizes == sorted(sizes, reverse=True)
    page = opened(render(sections, "t", "m")).page
    assert page.locator(".chart svg").count() == len(blocks(section, Chart)) > 0


def test_a_contrast_has_one_name_whichever_arm_stands_first(sweeps, tmp_path):
    first, _ = sweeps
    other = swept.write_sweep(tmp_path / "other")
    table = pq.read_table(other / "effects.parquet")
    texts = {name: table[name].cast(pa.string()) for name in ("arm", "reference")}
    columns = {name: table[name] for name in table.column_names}
    columns |= {"arm": texts["reference"], "reference": texts["arm"], "low": pa.compute.negate(table["high"]),
                "high": pa.compute.negate(table["low"]), "effect": pa.compute.negate(table["effect"])}  # fmt: skip
    primary = pa.compute.equal(table["role"].cast(pa.string()), "primary")
    turned = pa.table({
        name: pa.compute.if_else(primary, column, texts.get(name, table[name])) if name in ("arm", "reference", "low",
        "high", "effect") else column for name, column in columns.items()
    })  # fmt: skip
    pq.write_table(turned, other / "effects.parquet")
    section = compared(first, other, QUESTIONS)[1]
    for block in blocks(section, DataTable)[1:]:
        assert block.table.num_rows
        assert set(block.table["difference"].to_pylist()) == {0.0}


@pytest.mark.parametrize("arms", [("noop", "patch"), ("patch", "noop"), ("patch", "baseline")])
def test_the_unchanged_stands_second(arms):
    sign = -1.0 if arms[0] in UNCHANGED else 1.0
    row = {"outcome": "o", "layer": 0, "feature": 1, "arm": arms[0], "reference": arms[1]}
    found = _one_way({**row, "effect": sign * 2.0, "low": sign * 2.0 - 1, "high": sign * 2.0 + 1}, UNCHANGED)
    assert (found["contrast"], found["low"], found["value"], found["high"]) == ("patch - unchanged", 1.0, 2.0, 3.0)


def test_what_differs_in_the_plans_is_told_field_by_field(sweeps, tmp_path):
    first, _ = sweeps
    said = compared(first, first, QUESTIONS)[1]
    assert blocks(said, Prose)[0].text.startswith("Both were made with the same settings")
    other = swept.write_sweep(tmp_path / "other")
    plan = json.loads((other / "plan.json").read_text())
    plan["config"]["settings"]["outcome"] = "sampled"
    plan["parts"]["weights"] = "1" * 64
    (other / "plan.json").write_text(json.dumps(plan))
    rows = blocks(compared(first, other, QUESTIONS)[1], DataTable)[0].table.to_pylist()
    told = {row["field"]: (row["first"], row["second"]) for row in rows}
    assert told["outcome"] == ('"exact"', '"sampled"')
    assert "the model's weights" in told
    assert set(told) == {"outcome", "the model's weights"}


def test_other_commands_are_joined_too_and_unfinished_ones_say_so(tmp_path):
    for name, score in (("a", 0.5), ("b", 0.75)):
        folder = tmp_path / name / "graphs_of"
        swept.write_plan(folder)
        plan = json.loads((folder / "plan.json").read_text())
        (folder / "plan.json").write_text(json.dumps({**plan, "name": "attribute"}))
        lines = [{"id": f"p{i}", "replacement": score + i / 100, "completeness": 0.9} for i in range(3)]
        (folder / "scores.jsonl").write_text("\n".join(map(json.dumps, lines)))
        swept.write_plan(tmp_path / name / "half", done=1)
    overview, *sections = compared(tmp_path / "a", tmp_path / "b", QUESTIONS)
    assert blocks(overview, Cards)[0].cards[-1].value == "2"
    half, graphs = sections
    assert len(blocks(half, Missing)) == 2
    table = next(block for block in blocks(graphs, DataTable) if "replacement" in block.title).table
    assert table["difference"].to_pylist() == pytest.approx([0.25] * 3)


def test_different_kinds_are_refused_in_one_line(sweeps, tmp_path):
    (tmp_path / "agreement_train.jsonl").write_text("{}\n")
    with pytest.raises(
        ValueError, match=r"^compare: .* holds patch_sweep, .* prompts; needs results of the same command"
    ):
        compared(sweeps[0], tmp_path, QUESTIONS)
    with pytest.raises(ValueError, match=r"^compare: got .*nowhere; needs a folder"):
        compared(sweeps[0], tmp_path / "nowhere", QUESTIONS)
