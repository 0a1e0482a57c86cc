"""The section of an audit: whether the results of an earlier study can be built on."""

from collections.abc import Mapping
from typing import Any

from causeway.ports.pages.charts.bars import bars
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Facts, Missing, Prose, Section
from causeway.ports.pages.sections.rows import count, typed
from causeway.ports.pages.workdir import Result

READ = {"context": "prompts", "arm": "arm", "trials": "trials", "valid": "share that can be parsed",
        "difference": "less than in the baseline", "low": "low", "high": "high", "q": "q"}  # fmt: skip
CHANCE = {"context": "prompts", "outcome": "outcome", "baseline_rate": "rate in the baseline",
          "rate": "declared by chance", "shift": "shift of all features", "rate_under_shift": "by chance, with the "
          "shift"}  # fmt: skip
# Lists of what does not fit together, as a reader asks of them.
LISTS = {
    "conflicting": "features that two files decide otherwise", "missing": "trials that are not there",
    "uneven": "arms with more trials than others", "one_action": "arms with one action alone",
    "one_response": "arms with one response alone", "only_decided": "features without responses",
    "only_in_responses": "features that no file decides",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway audit, {result.folder}", result.about
    if "validated" not in about:
        return Section(title, anchor, [Missing("data_validation.json cannot be read; audit the results again.")], lead)
    readable = about.get("readability") or []
    blocks: list[Block] = [
        Prose(_answer(about), "text" if about["validated"] else "warning"),
        Cards([
            Card("verdict", "can be built on" if about["validated"] else "cannot be built on",
                 f"{len(about['failures'])} failures, {len(about['warnings'])} warnings"),
            Card("features", str(about["features"]), f"{about['causal']} causal, {about['undecided']} undecided"),
            Card("trials", f"{sum(row['trials'] for row in readable):,}", f"{len(readable)} arms and groups"),
        ]),
        *(Prose(text, "warning") for text in (*about["failures"], *about["warnings"])),
        *_counts(about), *_readable(about), *_calibration(about),
    ]  # fmt: skip
    odd = {what: ", ".join(map(str, about[name])) for name, what in LISTS.items() if about.get(name)}
    if odd:
        blocks.append(Facts("What does not fit together", odd))
    return Section(title, anchor, blocks, lead)


def _answer(about: Mapping[str, Any]) -> str:
    if about["validated"]:
        told = f"The results can be built on: {', '.join(about['files'])} fit together, and nothing is missing"
        return told + (f"; {count(len(about['warnings']), 'thing')} to beware of." if about["warnings"] else ".")
    return "The results cannot be built on as they are: " + "; ".join(about["failures"]) + "."


def _counts(about: Mapping[str, Any]) -> list[Block]:
    counts = about.get("features_by_layer") or {}
    rows = [
        {"label": f"layer {layer}", "features": number, "causal": (about.get("causal_by_layer") or {}).get(layer)}
        for layer, number in counts.items()
    ]
    if not rows:
        return [Prose("No feature is named in the results.", "note")]
    shown = {"label": "layer", "features": "features", "causal": "causal"}
    return [DataTable("layers", "Features by layer", "As the results have them.",
                      typed(rows, label=str, features=int, causal=int), shown)]  # fmt: skip


def _readable(about: Mapping[str, Any]) -> list[Block]:
    rows = about.get("readability") or []
    if not rows:
        return []
    table = typed(rows, **{name: str if name in ("context", "arm") else float for name in READ})
    drawn = [{"label": f"{row['arm']}, {row['context']}", "value": row["valid"]} for row in rows]
    return [
        Chart("readable", "Responses that can be parsed", "Share of the responses of an arm that say what was chosen.",
              bars("label", "value", "share of responses"), typed(drawn, label=str, value=float)),
        DataTable("readability", "Responses that can be parsed, in numbers", "Differences from the baseline with "
                  "95 % intervals.", table, READ),
    ]  # fmt: skip


def _calibration(about: Mapping[str, Any]) -> list[Block]:
    """What the study's own rule declares where nothing is to be found."""
    found = about.get("calibration") or {}
    if not found.get("contexts"):
        return []
    rows = [{"context": name, **values} for name, values in found["contexts"].items()]
    told = (
        f"The study's own rule would declare {found['expected']:.2g} of {count(found['tested'], 'feature')} if none "
        f"did anything, and up to {found['most_by_chance']} in one study of twenty; it declares {found['declared']}."
    )
    table = typed(rows, **{name: str if name in ("context", "outcome") else float for name in CHANCE})
    return [Prose(told), DataTable("chance", "What the study's rule declares by chance", "Rates at which it declares "
                                   "a feature that does nothing.", table, CHANCE)]  # fmt: skip
