"""The section of a study: its stages, how each stands, and what they took."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from causeway.ports.pages.charts.bars import bars
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Section
from causeway.ports.pages.workdir import Result

HEADINGS = {
    "stage": "stage", "command": "command", "status": "state", "seconds": "seconds", "cpu_seconds": "CPU seconds",
    "peak": "peak memory (MB)", "disk": "on disk (MB)", "why": "why",
}  # fmt: skip
DONE = ("done", "skipped")


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead = f"causeway study, {result.folder}"
    stages, table = result.about.get("stages", {}), _table(result.about)
    if not table.num_rows:
        return Section(
            title, anchor, [Missing(f"No stage is told of: {result.missing or 'study.json is empty'}.")], lead
        )
    done = sum(state in DONE for state in table["status"].to_pylist())
    seconds = sum(value or 0 for value in table["seconds"].to_pylist())
    blocks: list[Block] = [
        Cards([
            Card("stages", str(len(stages)), f"{done} done"),
            Card("run time", f"{seconds:.0f} s", "of the stages, one after the other"),
            Card("study", str(result.about.get("study", ""))),
        ]),
        *_undone(result, table),
        DataTable("stages", "Stages", "In the order in which they run; figures of the run that made the results.",
                  table, HEADINGS, shown=100),
    ]  # fmt: skip
    if any(table["seconds"].to_pylist()):
        blocks += [
            Chart("seconds", "Run time of the stages", "Seconds from start to end of each stage.",
                  bars("stage", "seconds", "seconds"), table.select(["stage", "seconds", "cpu_seconds"])),
            Chart("memory", "Memory of the stages", "The most memory that each stage held (MB of 10⁶ bytes).",
                  bars("stage", "peak", "peak memory (MB)"), table.select(["stage", "peak"])),
        ]  # fmt: skip
    return Section(title, anchor, blocks, lead)


def _undone(result: Result, table: pa.Table) -> list[Block]:
    """Stages that are still to be run."""
    rows = [row for row in table.to_pylist() if row["status"] not in DONE]
    told = "; ".join(f"{row['stage']}: {row['status']}{row['why'] and ', '}{row['why']}" for row in rows)
    command = f"causeway study ... --workdir={result.folder}"
    return [Missing(f"Stages without results: {told}. The same command goes on there:", command)] if rows else []


def _table(about: Mapping[str, Any]) -> pa.Table:
    results = {one.get("stage"): one for one in about.get("results", ())}
    rows = [
        {
            "stage": name,
            "command": stage.get("driver", ""),
            "status": results.get(name, {}).get("status", "not run"),
            "why": results.get(name, {}).get("why", ""),
            "seconds": results.get(name, {}).get("seconds"),
            "cpu_seconds": results.get(name, {}).get("cpu_seconds"),
            "peak": _megabytes(results.get(name, {}).get("peak_bytes")),
            "disk": _megabytes(results.get(name, {}).get("disk_bytes")),
            "run as": results.get(name, {}).get("command", ""),
        }
        for name, stage in about.get("stages", {}).items()
    ]
    texts = ("stage", "command", "status", "why", "run as")
    names = (*texts, "seconds", "cpu_seconds", "peak", "disk")
    kinds = [(name, pa.string() if name in texts else pa.float64()) for name in names]
    return pa.Table.from_pylist(rows, pa.schema(kinds))


def _megabytes(size: int | None) -> float | None:
    return None if size is None else size / 1e6
