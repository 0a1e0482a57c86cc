"""The section of adversarial words: which words put into a prompt make it err, as its neurons say?"""

from collections.abc import Mapping, Sequence
from typing import Any

from causeway.ports.files.jsonl import read_lines
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.intervals import intervals
from causeway.ports.pages.charts.rates import rates
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import INTERVALS, headings, typed
from causeway.ports.pages.workdir import Result
from causeway.ports.results.adversarial_files import PROMPTS, WORDS

DRAWN = 30
HEADINGS = {
    "word": "word", "arm": "arm", "push": "push on the direction", "margin_change": "change of the margin (nats)",
    "low": "low", "high": "high", "q": "q", "prompts": "prompts",
}  # fmt: skip
SHOWN = {
    "arm": "arm", "prompt": "prompt", "correct_answer": "right answer", "incorrect_answer": "wrong answer",
    "margin": "margin (nats)", "told": "answered",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway adversarial, {result.folder}", result.about
    path = result.folder / WORDS
    if not about or not path.exists():
        return Section(title, anchor, [Missing(f"No words are tried yet: {result.missing}.")], lead)
    words = read_parquet(path)
    blocks: list[Block] = [
        Prose(_answer(about)),
        *(Prose(text[:1].upper() + text[1:] + ".", "note") for text in about["verdict"]),
        Cards([
            Card("words", ", ".join(about["words"].get("adversarial", ())) or "none", "that push the wrong way"),
            Card("prompts", str(about["held_out"]), "held out, in each arm"),
        ]),
        *_rates(about["arms"]), *_words(words.to_pylist()),
        DataTable("words", "Words that were tried", "Push: on prompts that chose; change of the margin: on the others, "
                  "of the words that were kept.", words, headings(words, HEADINGS), file=str(path)),
        *_prompts(result),
    ]  # fmt: skip
    return Section(title, anchor, blocks, lead)


def _answer(about: Mapping[str, Any]) -> str:
    """Whether words make it err more than random ones do."""
    found = {arm["arm"]: arm["error_rate"] for arm in about["arms"]}
    told = ", ".join(f"{rate:.0%} with {name} words" for name, rate in found.items() if name != "clean")
    end = "is confirmed" if about["confirmed"] else "is not confirmed"
    return (
        f"As prompts stand, {found.get('clean', 0.0):.0%} of the answers are wrong; {told}. That words which neurons "
        f"choose make it err more than random words do {end}."
    )


def _rates(arms: Sequence[Mapping[str, Any]]) -> list[Block]:
    if not arms:
        return [Prose("No arm was measured.", "note")]
    drawn = [{**arm, "label": arm["arm"], "measure": "wrong answers", "rate": arm["error_rate"]} for arm in arms]
    kinds: dict[str, type] = dict.fromkeys(("label", "measure"), str)
    kinds |= dict.fromkeys(("rate", "low", "high", "bound"), float)
    return [Chart("errors", "How often it errs", "Share of held-out prompts that are answered wrong, with 95 % "
                  "intervals, by which words are put in.", rates("share wrong"), typed(drawn, **kinds))]  # fmt: skip


def _words(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    drawn = [
        {"label": row["word"], "kind": row["arm"] or "not kept", "value": row["margin_change"], "low": row["low"],
         "high": row["high"]}
        for row in rows if row["margin_change"] is not None and row["margin_change"] == row["margin_change"]
    ][:DRAWN]  # fmt: skip
    if not drawn:
        return [Prose("No word was kept, so that none was measured on held-out prompts.", "note")]
    kinds = list(dict.fromkeys(row["kind"] for row in drawn))
    several = len({row["label"] for row in drawn}) < len(drawn)
    return [Chart("margins", "What words do to the margin", "Change of log P(right answer) - log P(wrong answer) with "
                  "the word put in, with 95 % intervals.", intervals("change of the margin (nats)", 0.0, kinds,
                  beside=several), typed(drawn, **INTERVALS))]  # fmt: skip


def _told(correct: bool | None) -> str:
    return "not known" if correct is None else "right" if correct else "wrong"


def _prompts(result: Result) -> list[Block]:
    path = result.folder / PROMPTS
    if not path.exists() or not path.stat().st_size:
        return []
    rows = read_lines(path, dict).items
    rows = [{**row, "told": _told(row.get("correct"))} for row in rows]
    rows.sort(key=lambda row: (row["told"] != "wrong", row.get("margin") or 0.0))
    kinds: dict[str, type] = dict.fromkeys(SHOWN, str) | {"margin": float}
    return [DataTable("prompts", "Prompts with words put in", "Those answered wrong first, then by the margin.",
                      typed(rows, **kinds), SHOWN, file=str(path))]  # fmt: skip
