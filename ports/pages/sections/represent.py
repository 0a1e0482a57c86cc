"""The section of representations: is the answer right, and how clearly?"""

from collections.abc import Mapping, Sequence
from typing import Any

from causeway.ports.files.jsonl import read_lines
from causeway.ports.pages.charts.class_histograms import class_histograms
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import count, typed
from causeway.ports.pages.workdir import Result

PANELS, KINDS = 6, ("right", "wrong", "not known")
HEADINGS = {
    "prompt": "prompt", "correct_answer": "right answer", "incorrect_answer": "wrong answer", "margin": "margin (nats)",
    "kind": "answered", "set": "behaviour, split",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway represent, {result.folder}", result.about.get("about")
    if not about:
        return Section(title, anchor, [Missing(f"No representations yet: {result.missing}.")], lead)
    path = result.folder / "metadata.jsonl"
    rows = read_lines(path, _row).items if path.exists() else []
    where = "after the last norm" if result.about.get("layer") is None else f"in layer {result.about['layer']}"
    blocks: list[Block] = [
        Prose(_answer(about)),
        Cards([
            Card("prompts", str(about["prompts"]), f"read at {about['position']}"),
            Card("right", str(about["right"]), f"{about['wrong']} wrong, {about['unlabelled']} not known"),
            Card("stream", str(result.about["stream"]), f"{where}, {result.about['width']} numbers a prompt"),
        ]),
        *_margins(rows),
    ]  # fmt: skip
    if rows:
        rows.sort(key=lambda row: (KINDS.index(row["kind"]) != 1, row["margin"] is None, row["margin"] or 0.0))
        kinds: dict[str, type] = dict.fromkeys(HEADINGS, str) | {"margin": float}
        caption = "Those answered wrong first, then the least clear. Margin: log P(right answer) - log P(wrong answer)."
        table = typed(rows, **kinds)
        blocks.append(DataTable("prompts", "Prompts", caption, table, HEADINGS, file=str(path)))
    return Section(title, anchor, blocks, lead)


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    kind = {True: KINDS[0], False: KINDS[1]}.get(record.get("correct"), KINDS[2])  # type: ignore[arg-type]
    named = ", ".join(str(record[name]) for name in ("behaviour", "split") if record.get(name))
    texts = {name: record.get(name) for name in ("prompt", "correct_answer", "incorrect_answer")}
    return {**texts, "margin": record.get("margin"), "kind": kind, "set": named or "prompts"}


def _answer(about: Mapping[str, Any]) -> str:
    known = about["right"] + about["wrong"]
    if not known:
        return f"Of {count(about['prompts'], 'prompt')} none says which answer is right, so that none is judged."
    told = (
        f"The model answers {about['right']} of {count(known, 'prompt')} right ({about['right'] / known:.0%}), by "
        f"{', '.join(about['label_source'])}."
    )
    if not about["wrong"] or not about["right"]:
        told += " With one kind of answer alone, right cannot be told from wrong; margins can still be compared."
    return told


def _margins(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    """How clearly prompts are answered, right and wrong ones apart."""
    drawn = [{"panel": row["set"], "value": row["margin"], "kind": row["kind"]} for row in rows]
    drawn = [row for row in drawn if row["value"] is not None]
    panels = list(dict.fromkeys(row["panel"] for row in drawn))[:PANELS]
    if not panels:
        return [Prose("No prompt has two answers, so that there are no margins.", "note")]
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in drawn)]
    table = typed([row for row in drawn if row["panel"] in panels], panel=str, value=float, kind=str)
    return [Chart(
        "margins", "How clearly prompts are answered", "Prompts by the log probability of the right answer less that "
        "of the wrong one, in nats; below 0 the wrong answer is likelier.",
        class_histograms(panels, kinds, "margin (nats)"), table,
    )]  # fmt: skip
