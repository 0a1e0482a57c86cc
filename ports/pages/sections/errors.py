"""The section of errors: which neurons tell wrong answers from right ones, on which prompts, and where errors lie."""

from collections.abc import Mapping, Sequence
from typing import Any

from causeway.ports.files.jsonl import read_lines
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.rates import rates
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import count, head, headings, typed
from causeway.ports.pages.workdir import Result
from causeway.ports.results.error_files import EXAMPLES, GROUPS, NEURONS, areas_chart

DRAWN, FIELDS, ROWS = 30, 6, 24
HEADINGS = {
    "layer": "layer", "neuron": "neuron", "auc": "AUC where chosen", "auc_held_out": "AUC held out", "auc_low": "low",
    "auc_high": "high", "q_held_out": "q", "d_held_out": "d held out", "mean_right": "mean, right",
    "mean_wrong": "mean, wrong", "verdict": "verdict",
}  # fmt: skip
SHOWN = {
    "name": "neuron", "class": "among", "value": "value", "prompt": "prompt", "right_answer": "right answer",
    "given_answer": "given answer", "margin": "margin (nats)",
}  # fmt: skip
FIELD_HEADINGS = {
    "field": "field", "value": "value", "prompts": "prompts", "wrong": "wrong", "error_rate": "share wrong",
    "low": "low", "high": "high", "others": "share of the others", "q": "q",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway errors, {result.folder}", result.about
    path = result.folder / NEURONS
    if not about or not path.exists():
        return Section(title, anchor, [Missing(f"No errors are looked at yet: {result.missing}.")], lead)
    table, (wrong, right) = read_parquet(path), about["classes"]
    judged = table.slice(0, about["kept"])
    blocks: list[Block] = [
        Prose(_answer(about)),
        Cards([
            Card("prompts", str(about["prompts"]), f"{about['choosing']} chose, {about['held_out']} were held out"),
            Card(wrong, str(about["wrong"]), f"{about['right']} {right}"),
            Card("confirmed", str(about["confirmed"]), f"of {about['kept']} neurons that were judged"),
        ]),
        *_areas(judged.to_pylist()), *_fields(result, wrong), *_examples(result),
        DataTable("neurons", "Neurons", "The best where chosen first; d is the difference of means in standard "
                  "deviations.", table, headings(table, HEADINGS), file=str(path)),
    ]  # fmt: skip
    return Section(title, anchor, blocks, lead)


def _answer(about: Mapping[str, Any]) -> str:
    wrong, right = about["classes"]
    told = (
        f"Of {count(about['prompts'], 'prompt')} {about['wrong']} count as {wrong}, {about['right']} as {right}. Of "
        f"{about['neurons']} neurons the {about['kept']} that tell both apart best were judged on {about['held_out']} "
        f"prompts that did not choose them: {about['confirmed'] or 'none'} of them did so again."
    )
    if about.get("cut") is not None and about["labels"] == "margin":
        told += (
            f" The classes are margins up to and above {about['cut']:.2f}, the median: prompts that are answered less "
            "and more clearly, not wrong and right ones."
        )
    return told


def _areas(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    if not rows:
        return [Prose("No neuron was judged.", "note")]
    drawn = rows[:DRAWN]
    return [areas_chart(
        [f"{row['layer']}:{row['neuron']}" for row in drawn], [row["auc"] for row in drawn],
        [(row["auc_held_out"], row["auc_low"], row["auc_high"]) for row in drawn],
    )]  # fmt: skip


def _fields(result: Result, wrong: str) -> list[Block]:
    """Error rates by the prompts' fields; a field of which every value has one prompt says nothing."""
    path = result.folder / GROUPS
    rows = read_parquet(path).to_pylist() if path.exists() else []
    told = [name for name in dict.fromkeys(row["field"] for row in rows) if _says(name, rows)][:FIELDS]
    rows = [row for row in rows if row["field"] in told]
    if not rows:
        return [Prose("No field of the prompts divides them into groups of more than one.", "note")]
    drawn = [
        {"label": f"{row['field']}: {row['value']}", "measure": "share", "rate": row["error_rate"], "low": row["low"],
         "high": row["high"], "bound": row["others"]}
        for row in rows
    ]  # fmt: skip
    kinds: dict[str, type] = dict.fromkeys(("label", "measure"), str)
    kinds |= dict.fromkeys(("rate", "low", "high", "bound"), float)
    shown: dict[str, type] = dict.fromkeys(FIELD_HEADINGS, float) | {"field": str, "value": str}
    return [
        Chart("fields", "Where they lie", f"Share of prompts that are {wrong}, by what their fields say, with 95 % "
              f"intervals; orange: the share among all other prompts.{head(drawn, ROWS, 'values')}",
              rates("share of prompts"), typed(drawn[:ROWS], **kinds)),
        DataTable("field_table", "Where they lie, in numbers", "Furthest from the others first.",
                  typed(rows, **shown), FIELD_HEADINGS, file=str(path)),
    ]  # fmt: skip


def _says(field: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(row["prompts"] > 1 for row in rows if row["field"] == field)


def _examples(result: Result) -> list[Block]:
    """Prompts on which the judged neurons are largest."""
    path = result.folder / EXAMPLES
    if not path.exists() or not path.stat().st_size:
        return []
    rows = [{**row, "name": f"{row['layer']}:{row['neuron']}"} for row in read_lines(path, dict).items]
    kinds: dict[str, type] = dict.fromkeys(SHOWN, str) | {"value": float, "margin": float}
    return [DataTable("examples", "Prompts on which these neurons are largest", "Of each neuron some of either class, "
                      "the largest value first.", typed(rows, **kinds), SHOWN, file=str(path))]  # fmt: skip
