"""The section of a baseline: whether the model tells right answers from wrong ones, and by how much."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from causeway.engine.analyses.evaluate.verdict import told
from causeway.ports.pages.section import Block, Card, Cards, DataTable, Missing, Prose, Section
from causeway.ports.pages.workdir import Result, read_json
from causeway.ports.results.baseline_figures import differences_chart, rates_chart, set_name
from causeway.ports.results.baseline_files import table_path

_PREFIX = "baseline_metrics_"
HEADINGS = {
    "set": "behaviour, split", "prompt": "prompt", "correct_answer": "right", "incorrect_answer": "wrong",
    "normalised_difference": "difference (nats a token)", "margin_success": "margin success",
}  # fmt: skip
VERDICTS = {
    "set": "behaviour, split", "verdict": "verdict", "rate": "margin success", "needed": "needed", "prompts": "prompts",
}  # fmt: skip
Sets = list[tuple[str, str, Mapping[str, Any]]]


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section; splits without metrics are named as missing."""
    lead = f"causeway evaluate, {result.folder}"
    found = list(sets_of(result.folder))
    if not found:
        return Section(title, anchor, [Missing(f"No rates yet: {result.missing}.")], lead)
    verdicts = [told(entry) for *_, entry in found]
    passed, unsure = (sum(one.startswith(word) for one in verdicts) for word in ("PASS", "cannot tell"))
    prompts = prompts_of(result.folder, found)
    cards = [
        Card("behaviours and splits", str(len(found))),
        Card("clear enough to look inside", str(passed), f"by the threshold of each; of {unsure} nothing can be told"),
        Card("prompts", str(sum(entry["prompts"] for *_, entry in found))),
    ]
    blocks: list[Block] = [Cards(cards), Prose(HOW), _verdicts(found, verdicts), rates_chart(found)]
    return Section(title, anchor, [*blocks, *_prompt_blocks(prompts)], lead)


HOW = (
    "The log probability of the right answer is compared with that of the wrong one, prompt by prompt. A prompt is a "
    "margin success where the difference, divided by the answer's tokens, is at least the behaviour's margin, and has "
    "the right sign where it is above 0."
)


def _verdicts(found: Sets, verdicts: Sequence[str]) -> DataTable:
    rows = [
        {"set": set_name(behaviour, split), "verdict": verdict, "rate": entry["margin_success"]["rate"],
         "needed": entry["success_threshold"], "prompts": entry["prompts"]}
        for (behaviour, split, entry), verdict in zip(found, verdicts, strict=True)
    ]  # fmt: skip
    return DataTable(
        "verdicts", "What is told of each", "PASS: the share of margin successes reaches what the behaviour needs. Too "
        "close to call: its 95 % interval holds what is needed. Cannot tell: too few groups for an interval.",
        pa.Table.from_pylist(rows), VERDICTS,
    )  # fmt: skip


def _prompt_blocks(prompts: pa.Table) -> list[Block]:
    if not prompts.num_rows:
        return []
    told = "Log probability of the right answer less that of the wrong one."
    return [
        differences_chart(prompts.select(["set", "id", "normalised_difference", "margin"])),
        DataTable("prompts", "Prompts, the least clear first", told, prompts, HEADINGS),
    ]


def sets_of(folder: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Behaviour, split and metrics of each."""
    for path in sorted(folder.glob(f"{_PREFIX}*.json")):
        split = path.stem.removeprefix(_PREFIX)
        for behaviour, entry in read_json(path).get("behaviours", {}).items():
            yield behaviour, split, entry


def prompts_of(folder: Path, found: Sets) -> pa.Table:
    """All prompts, the least difference first, with the set that each is of and its margin."""
    texts = ("id", "group", "prompt", "correct_answer", "incorrect_answer")
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
    parsed = pyarrow.csv.ParseOptions(newlines_in_values=True)
    parts = []
    for behaviour, split, entry in found:
        path = table_path(folder, behaviour, split)
        if path.is_file():
            part = pyarrow.csv.read_csv(path, parse_options=parsed, convert_options=options)
            part = part.append_column("set", pa.array([set_name(behaviour, split)] * part.num_rows, pa.string()))
            margin = pa.array([float(entry["min_score_diff"])] * part.num_rows, pa.float64())
            parts.append(part.append_column("margin", margin))
    whole = pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})
    return whole.sort_by("normalised_difference") if whole.num_rows else whole
