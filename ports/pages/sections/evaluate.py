"""The section of a baseline: whether the model tells right answers from wrong ones, and by how much."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from causeway.ports.pages.charts.histograms import histograms
from causeway.ports.pages.charts.rates import rates
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.workdir import Result, read_json
from causeway.ports.results.baseline_files import RATES, table_path

_PREFIX = "baseline_metrics_"
HEADINGS = {
    "set": "behaviour, split", "prompt": "prompt", "correct_answer": "right", "incorrect_answer": "wrong",
    "normalised_difference": "difference (nats a token)", "margin_success": "margin success",
}  # fmt: skip
Sets = list[tuple[str, str, Mapping[str, Any]]]


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section; splits without metrics are named as missing."""
    lead = f"causeway evaluate, {result.folder}"
    found = list(_sets(result.folder))
    if not found:
        return Section(title, anchor, [Missing(f"No rates yet: {result.missing}.")], lead)
    passed = sum(entry["decision"] == "PASS" for *_, entry in found)
    prompts = _prompts(result.folder, found)
    cards = [
        Card("behaviours and splits", str(len(found))),
        Card("clear enough to look inside", str(passed), "by the threshold of each"),
        Card("prompts", str(sum(entry["prompts"] for *_, entry in found))),
    ]
    blocks: list[Block] = [Cards(cards), Prose(HOW), _rates_chart(found), *_prompt_blocks(prompts)]
    return Section(title, anchor, blocks, lead)


HOW = (
    "The log probability of the right answer is compared with that of the wrong one, prompt by prompt. A prompt is a "
    "margin success where the difference, divided by the answer's tokens, is at least the behaviour's margin, and has "
    "the right sign where it is above 0."
)


def _rates_chart(found: Sets) -> Chart:
    return Chart(
        "rates", "Rates by behaviour",
        "Share of prompts, with 95 % intervals; orange: the share of margin successes that a behaviour needs.",
        rates("share of prompts"), _rates(found),
    )  # fmt: skip


def _prompt_blocks(prompts: pa.Table) -> list[Block]:
    if not prompts.num_rows:
        return []
    drawn = prompts.select(["set", "id", "normalised_difference", "margin"])
    return [
        Chart(
            "differences", "How clearly prompts are answered",
            "Prompts by the log probability of the right answer less that of the wrong one, in nats a token; orange: "
            "the margin.", histograms("normalised_difference", "nats a token", "set", "margin"), drawn,
        ),
        DataTable(
            "prompts", "Prompts, the least clear first",
            "Log probability of the right answer less that of the wrong one.", prompts, HEADINGS,
        ),
    ]  # fmt: skip


def _sets(folder: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Behaviour, split and metrics of each."""
    for path in sorted(folder.glob(f"{_PREFIX}*.json")):
        split = path.stem.removeprefix(_PREFIX)
        for behaviour, entry in read_json(path).get("behaviours", {}).items():
            yield behaviour, split, entry


def _rates(found: Sets) -> pa.Table:
    rows = [
        {
            "label": f"{behaviour}, {split}",
            "measure": name,
            **{part: entry[key].get(part) for part in ("rate", "low", "high")},
            "bound": entry["success_threshold"] if key == "margin_success" else None,
        }
        for behaviour, split, entry in found
        for key, name in RATES.items()
    ]
    kinds = [(name, pa.string() if name in ("label", "measure") else pa.float64()) for name in rows[0]]
    return pa.Table.from_pylist(rows, pa.schema(kinds))


def _prompts(folder: Path, found: Sets) -> pa.Table:
    """All prompts, the least difference first, with the set that each is of and its margin."""
    texts = ("id", "group", "prompt", "correct_answer", "incorrect_answer")
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
    parsed = pyarrow.csv.ParseOptions(newlines_in_values=True)
    parts = []
    for behaviour, split, entry in found:
        path = table_path(folder, behaviour, split)
        if path.is_file():
            part = pyarrow.csv.read_csv(path, parse_options=parsed, convert_options=options)
            part = part.append_column("set", pa.array([f"{behaviour}, {split}"] * part.num_rows, pa.string()))
            margin = pa.array([float(entry["min_score_diff"])] * part.num_rows, pa.float64())
            parts.append(part.append_column("margin", margin))
    whole = pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})
    return whole.sort_by("normalised_difference") if whole.num_rows else whole
