"""The section of directions: are right answers told from wrong ones along them?"""

from collections.abc import Mapping
from typing import Any

from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.intervals import intervals
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import INTERVALS, count, typed, with_interval
from causeway.ports.pages.workdir import Result
from causeway.ports.results.projection_files import TABLE, projections_chart

ALPHA = 0.05
HEADINGS = {
    "name": "direction", "auc": "AUC held out", "auc_low": "low", "auc_high": "high", "q": "q",
    "auc_fit": "AUC where fitted", "accuracy": "accuracy held out", "accuracy_low": "low ",
    "accuracy_high": "high ", "spearman": "rank correlation with the margin",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway direction, {result.folder}", result.about.get("about")
    if not about:
        return Section(title, anchor, [Missing(f"No directions yet: {result.missing}.")], lead)
    found: dict[str, Any] = about.get("directions") or {}
    judged = about.get("judge")
    blocks: list[Block] = [Prose(_answer(about)), Prose(READ, "note")]
    if judged:
        blocks.append(Cards([
            Card("fitted on", str(about["fit"]["prompts"]), f"{about['fit']['right']} and {about['fit']['wrong']}"),
            Card("judged on", str(judged["prompts"]), f"{judged['right']} and {judged['wrong']}"),
            Card("most frequent class", f"{about['base_rate']:.0%}", "what an accuracy has to beat"),
        ]))  # fmt: skip
    rows = [{"name": name, **values} for name, values in found.items()]
    measured = [row for row in rows if row.get("auc") is not None]
    if measured:
        blocks.append(_areas(measured))
    blocks += _projections(result, about, found)
    kinds: dict[str, type] = dict.fromkeys(HEADINGS, float) | {"name": str}
    blocks.append(DataTable("directions", "Directions in numbers", "Intervals are of 95 %, over groups of prompts.",
                            typed(rows, **kinds), HEADINGS))  # fmt: skip
    return Section(title, anchor, blocks, lead)


READ = (
    "AUC is how often a right answer (or a clearer one) projects further than a wrong one: 0.5 by chance, 1 where the "
    "direction tells all apart. Held out: on prompts that did not fit the direction."
)


def classes_of(about: Mapping[str, Any]) -> tuple[str, str]:
    """What the two classes are called."""
    if about.get("classes") == "median":
        return f"margin up to {about['cut']:.2f}", "above"
    return "wrong", "right"


def _answer(about: Mapping[str, Any]) -> str:
    found = {name: one for name, one in (about.get("directions") or {}).items() if one.get("auc") is not None}
    if not found:
        return "Directions were fitted; there were no prompts left to judge them on."
    sure = [name for name, one in found.items() if (one.get("q") or 1.0) < ALPHA]
    best = max(found, key=lambda name: found[name]["auc"])
    size = with_interval(found[best]["auc"], found[best].get("auc_low"), found[best].get("auc_high"), ".2f")
    what = "prompts of large and small margins" if about.get("classes") == "median" else "right and wrong answers"
    told = f"{best} tells {what} apart best, with an AUC of {size} on {about['judge']['prompts']} held-out prompts"
    if sure:
        return f"{told}. {len(sure)} of {count(len(found), 'direction')} do so beyond chance (q < {ALPHA})."
    return f"{told}; no direction is known to do so beyond chance (q < {ALPHA})."


def _areas(rows: list[dict[str, Any]]) -> Block:
    kinds = ("held out", "where fitted")
    drawn = []
    for row in rows:
        held = {"value": row["auc"], "low": row.get("auc_low"), "high": row.get("auc_high")}
        drawn.append({"label": row["name"], "kind": kinds[0], **held})
        drawn.append({"label": row["name"], "kind": kinds[1], "value": row.get("auc_fit")})
    return Chart(
        "areas", "How well directions tell the classes apart", "AUC, with 95 % intervals where held out; the line at "
        "0.5 is chance.", intervals("AUC", 0.5, kinds, beside=True), typed(drawn, **INTERVALS),
    )  # fmt: skip


def _projections(result: Result, about: Mapping[str, Any], found: Mapping[str, Any]) -> list[Block]:
    """Histograms of the prompts that were judged on."""
    path = result.folder / TABLE
    if not path.exists():
        return []
    table = read_parquet(path)
    rows = [row for row in table.to_pylist() if row.get("side") == "judge" and row.get("label") is not None]
    cut = about.get("cut", 0.5)
    names = [name for name in found if name in table.column_names]
    pairs: dict[str, tuple[list[float], list[float]]] = {
        name: ([row[name] for row in rows if row["label"] <= cut], [row[name] for row in rows if row["label"] > cut])
        for name in names
    }
    if not rows or not names:
        return [Prose("No prompts were held out, so that there are no projections to show.", "note")]
    return [projections_chart(pairs, {name: name for name in names}, classes_of(about))]
