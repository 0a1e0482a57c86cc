"""The section of a selection: which features are followed, and on which prompts."""

from collections.abc import Mapping
from typing import Any

from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.forest import VERDICTS, forest
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Facts, Missing, Prose, Section
from causeway.ports.pages.sections.rows import count, feature, plain, typed
from causeway.ports.pages.workdir import Result

DRAWN = 40
TEXTS = ("name", "outcome", "contrast", "verdict")
HEADINGS = {
    "rank": "rank", "name": "feature", "effect": "effect", "low": "low", "high": "high", "q": "q",
    "outcome": "outcome", "contrast": "contrast", "verdict": "verdict", "cohen_d": "d",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway select, {result.folder}", result.about
    path = result.folder / "causal_features.parquet"
    if not about or not path.exists():
        return Section(title, anchor, [Missing(f"No features are chosen yet: {result.missing}.")], lead)
    rows = [_row(row) for row in plain(read_parquet(path)).to_pylist()]
    kinds: dict[str, type] = dict.fromkeys(HEADINGS, float) | dict.fromkeys(TEXTS, str) | {"rank": int}
    blocks: list[Block] = [
        Prose(_answer(about, rows)),
        Cards([
            Card("features", str(about["selected"]), f"of {about['candidates']} candidates, by {about['rank_by']}"),
            Card("prompts", str(about["prompts"]), f"{about['prompts_each']} for each feature"),
        ]),
    ]  # fmt: skip
    if rows:
        drawn = [row | {"label": f"{row['name']}  {row['outcome'] or ''}", "detail": row["contrast"]} for row in rows]
        columns: dict[str, type] = dict.fromkeys(("effect", "low", "high", "q"), float)
        columns |= dict.fromkeys(("label", "detail", "verdict"), str)
        blocks.append(Chart(
            "effects", "Effects of the chosen features", "As the earlier study has them, each of its own outcome, with "
            "95 % intervals.", forest("effect", controls=False), typed(drawn[:DRAWN], **columns),
        ))  # fmt: skip
    blocks += [
        DataTable("features", "Chosen features", "Strongest first.", typed(rows, **kinds), HEADINGS, file=str(path)),
        Facts("What was chosen from, and how", {k: v for k, v in about.items() if not k.endswith("fingerprint")}),
    ]
    return Section(title, anchor, blocks, lead)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    verdict = {True: VERDICTS[0], False: VERDICTS[1], None: VERDICTS[2]}[row.get("is_causal")]
    return {**row, "name": feature(row["layer"], row["feature"]), "verdict": verdict}


def _answer(about: Mapping[str, Any], rows: list[dict[str, Any]]) -> str:
    causal = sum(row["verdict"] == VERDICTS[0] for row in rows)
    each = f", at most {about['per_layer']} of a layer" if about.get("per_layer") else ""
    told = f"{count(about['selected'], 'feature')} of {about['candidates']} candidates are followed{each}"
    told += f", strongest by {about['rank_by']} first; {causal} of them are causal in the earlier study."
    if about.get("without_strength"):
        told += f" {count(about['without_strength'], 'candidate')} has no strength and cannot be ranked."
    return told
