"""The section of words: which tokens and words each feature adds to what the model writes, or removes."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.diverging import KINDS, diverging
from causeway.ports.pages.charts.intervals import intervals
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import INTERVALS, count, feature, plain, share, typed
from causeway.ports.pages.workdir import Result

PANELS, BARS, OUTCOMES = 8, 12, 30
TEXTS = {
    "name": "feature", "text": "text", "unit": "counted as", "context": "prompts", "contrast": "contrast",
    "log_odds": "log odds", "low": "low", "high": "high", "q": "q", "patched_count": "times, patched",
    "reference_count": "times, reference", "kind": "verdict",
}  # fmt: skip
EFFECTS = {
    "name": "feature", "outcome": "outcome", "context": "prompts", "contrast": "contrast", "parser": "parser",
    "reference": "reference", "patched": "patched", "effect": "change", "low": "low", "high": "high", "q": "q",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway tokens, {result.folder}", result.about
    if not about:
        return Section(title, anchor, [Missing(f"No words are counted yet: {result.missing}.")], lead)
    alpha = about["alpha"]
    texts = _texts(plain(read_parquet(result.folder / "associations.parquet")).to_pylist(), alpha)
    outcomes = _outcomes(plain(read_parquet(result.folder / "outcomes.parquet")).to_pylist())
    sure = [row for row in texts if row["kind"] != KINDS[2]]
    changed = [row for row in outcomes if row["q"] is not None and row["q"] < alpha]
    blocks: list[Block] = [
        Prose(_answer(about, texts, sure, changed)),
        Cards([
            Card("responses", f"{about['responses']:,}", f"{about['comparisons']} comparisons"),
            Card("features", str(about["features"]), ", ".join(about["contrasts"])),
            Card("words added, removed", f"{_of(sure, 'adds')}, {_of(sure, 'removes')}", f"q < {alpha:g}"),
            Card("outcomes changed", str(len(changed)), f"of {len(outcomes)}, q < {alpha:g}"),
        ]),
        *_bars(sure or texts, bool(sure), alpha), *_changes(changed),
        DataTable("texts", "Words, by how sure they are", "Log odds of a text in patched against reference responses "
                  "(above 0: added), with 95 % intervals; smallest q first.", _table(texts, TEXTS), TEXTS,
                  file=str(result.folder / "associations.parquet")),
        DataTable("outcomes", "Outcomes of what is written", "Rates, means and lengths as parsed: patched less "
                  "reference, with 95 % intervals over prompts; smallest q first.", _table(outcomes, EFFECTS),
                  EFFECTS, file=str(result.folder / "outcomes.parquet")),
    ]  # fmt: skip
    return Section(title, anchor, blocks, lead)


def _texts(rows: list[dict[str, Any]], alpha: float) -> list[dict[str, Any]]:
    """Texts with a verdict, the surest first, and the largest of those."""
    for row in rows:
        found = row["q"] is not None and row["q"] < alpha and row["interval_excludes_0"]
        row["kind"] = {"adds": KINDS[0], "removes": KINDS[1]}.get(row["direction"], KINDS[2]) if found else KINDS[2]
        row["name"] = feature(row["layer"], row["feature"])
    return sorted(rows, key=lambda row: (row["kind"] == KINDS[2], _or(row["q"], 2.0), -abs(_or(row["z"], 0.0))))


def _outcomes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        row["name"] = feature(row["layer"], row["feature"])
    return sorted(rows, key=lambda row: (_or(row["q"], 2.0), -abs(_or(row["effect"], 0.0))))


def _or(value: float | None, other: float) -> float:
    return other if value is None or value != value else value


def _of(rows: Sequence[Mapping[str, Any]], direction: str) -> int:
    return sum(row["direction"] == direction for row in rows)


def _are(rows: Sequence[Mapping[str, Any]], direction: str) -> str:
    number = _of(rows, direction)
    return f"{number} {'is' if number == 1 else 'are'}"


def _answer(
    about: Mapping[str, Any], texts: Sequence[Any], sure: Sequence[Mapping[str, Any]], changed: Sequence[Any]
) -> str:
    """What features do to words, in sentences."""
    alpha = about["alpha"]
    if sure:
        features = len({row["name"] for row in sure})
        told = (
            f"{share(features, about['features'], 'feature')} {'changes' if features == 1 else 'change'} which words "
            f"are written: {_are(sure, 'adds')} added and {_are(sure, 'removes')} removed more often than by chance "
            f"(q < {alpha:g})."
        )
    elif texts:
        told = (
            f"No feature is known to add or remove a word: of {count(len(texts), 'comparison')} none passes q < "
            f"{alpha:g}, with an interval that leaves 0 out. What comes nearest is shown."
        )
    else:
        told = "No word was written often enough to be compared."
    return told + (
        f" {count(len(changed), 'outcome')} of what is written, as parsed, changed." if changed else
        " No outcome of what is written, as parsed, is known to change."
    )  # fmt: skip


def _bars(rows: Sequence[Mapping[str, Any]], sure: bool, alpha: float) -> list[Block]:
    """The strongest words, a panel for each feature and contrast; a text counted in several ways is drawn once."""
    made: dict[tuple[str, str], dict[str, Any]] = {}
    panels: list[str] = []
    for row in rows:
        panel = f"{row['name']}, {row['contrast']}, {row['context']}"
        if panel not in panels and len(panels) < PANELS:
            panels.append(panel)
        key = (panel, row["text"])
        if panel in panels and key not in made and sum(one[0] == panel for one in made) < BARS and row["log_odds"]:
            made[key] = {**row, "panel": panel, "value": row["log_odds"], "text": _seen(row["text"])}
    if not made:
        return []
    kinds = dict.fromkeys(("panel", "text", "kind"), str) | dict.fromkeys(("value", "low", "high", "q"), float)
    found = f"q < {alpha:g}" if sure else "None is sure"
    caption = (
        f"Log odds of a word in patched against reference responses: right of 0 it is written more often. {found}. "
        f"Lines: 95 % intervals. The strongest {BARS} of up to {PANELS} features, contrasts and groups of prompts."
    )
    return [Chart("words", "Words added and removed", caption, diverging("log odds"), typed(made.values(), **kinds))]


def _seen(text: str) -> str:
    """A text with the spaces at its start, which tell tokens apart."""
    return "\N{OPEN BOX}" * (len(text) - len(text.lstrip(" "))) + text.lstrip(" ")


def _changes(changed: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Outcomes that change, by the parser whose results they are; panels would have units of their own."""
    blocks: list[Block] = []
    for measured, unit in (("rate", "change of the rate"), ("mean_amount", "change of the mean"), ("length", "tokens")):
        rows: dict[str, dict[str, Any]] = {}
        for row in changed:
            kind = row["outcome"] if row["outcome"] in ("mean_amount", "length") else "rate"
            label = f"{row['name']}  {row['outcome']}, {row['context']}, {row['contrast']}"
            if kind == measured and label not in rows and len(rows) < OUTCOMES:
                rows[label] = {**row, "label": label, "value": row["effect"], "kind": "patched less reference"}
        if rows:
            title = {"rate": "Rates of outcomes", "mean_amount": "Mean amounts", "length": "Lengths"}[measured]
            blocks.append(Chart(
                f"changed_{measured}", f"{title} that change", "Patched less reference, with 95 % intervals over "
                "prompts; surest first.", intervals(unit), typed(rows.values(), **INTERVALS),
            ))  # fmt: skip
    return blocks


def _table(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> pa.Table:
    texts = ("name", "text", "unit", "context", "contrast", "kind", "outcome", "parser")
    return typed(rows, **{name: str if name in texts else float for name in names})
