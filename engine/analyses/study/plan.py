"""What a study will take, stage by stage and in all, before anything of it is run.

A stage that ran before with the same values has measured figures, and they are its estimate. Others are estimated from
shapes (`cost_table`). What cannot be told is `unknown`, and sums say what they leave out.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from causeway.engine.analyses.study.commands import Command, deciding
from causeway.engine.analyses.study.cost_table import cost
from causeway.engine.analyses.study.costs import Facts, Machine, Unknown
from causeway.engine.analyses.study.page import bytes_text, seconds_text
from causeway.engine.analyses.study.records import Record
from causeway.engine.analyses.study.stages import Study
from causeway.engine.analyses.study.standing import Standing


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a stage will take: seconds, bytes of memory and of its files, None where unknown; whether it is due; how
    that is known."""

    stage: str
    seconds: float | None
    memory_bytes: float | None
    disk_bytes: float | None
    due: bool
    basis: str


def plan(
    study: Study,
    commands: Mapping[str, Command],
    standings: Mapping[str, Standing],
    facts: Callable[[str], Facts],
    machine: Callable[[], Machine],
    measured_alone: bool = False,
) -> list[Estimate]:
    """An estimate for each stage, in order.

    Args:
        standings: of the stages. facts: what is known of a stage. machine: measured when it is first needed.
        measured_alone: tell what was measured, and nothing that follows from shapes.
    """
    found = []
    for stage in study.stages:
        standing = standings[stage.name]
        if (record := _like(standing.record, commands[stage.name])) is not None:
            basis = "up to date; measured" if standing.fresh else "measured in an earlier run"
            found.append(
                Estimate(
                    stage.name, record.seconds, record.peak_bytes, record.disk_bytes, not standing.fresh, basis
                )
            )  # fmt: skip
        elif measured_alone:
            found.append(Estimate(stage.name, None, None, None, True, "not measured yet"))
        else:
            found.append(from_shapes(stage.name, stage.driver, facts(stage.name), machine))
    return found


def _like(record: Record | None, command: Command) -> Record | None:
    """The record of an earlier run with the same values, whatever its files held."""
    if record is None or not record.finished or record.driver != command.stage.driver:
        return None
    inputs = command.inputs.keys() | command.stage.takes.keys()
    now = {flag: value for flag, value in deciding(command.resolved).items() if flag not in inputs}
    before = {flag: value for flag, value in record.identity["values"].items() if flag not in inputs}
    return record if now == before else None


def from_shapes(name: str, driver: str, facts: Facts, machine: Callable[[], Machine]) -> Estimate:
    """The estimate of a stage that has not been run.

    Args:
        name: of the stage. machine: measured when it is needed.
    """
    try:
        found = cost(driver, facts)
    except Unknown as why:
        return Estimate(name, None, None, None, True, f"unknown: {why}")
    seconds = machine().seconds(found, facts.model if facts.values.get("model") else None)
    kept = machine().slowness * found.compiling
    basis = "estimated from shapes" + (f"; {seconds_text(kept)} less where its programs are kept" if kept else "")
    return Estimate(name, seconds, found.memory_bytes, found.disk_bytes, True, basis)


def table(estimates: Sequence[Estimate]) -> str:
    """A line a stage, and the sums."""
    due = [one for one in estimates if one.due]
    rows = [(one.stage, *_figures([one]), one.basis) for one in estimates]
    left = [one.stage for one in due if one.seconds is None]
    told = f"{len(due)} of {len(estimates)} stages to run" + (f"; without {', '.join(left)}" if left else "")
    rows = [("stage", "time", "memory", "disk", ""), *rows, ("in all", *_figures(due), told)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(f"{text:<{width}}" for text, width in zip(row[:4], widths, strict=True)) for row in rows]
    return "\n".join(f"{line}  {row[4]}".rstrip() for line, row in zip(lines, rows, strict=True))


def alone(estimate: Estimate) -> str:
    """One command that is no stage of a study."""
    time, memory, disk = _figures([estimate])
    lines = {"time": f"{time} of one core", "memory": memory, "disk": disk, "basis": estimate.basis}
    return "\n".join([f"{estimate.stage}: plan", *(f"  {name:<7}{text}" for name, text in lines.items())])


def _figures(estimates: Sequence[Estimate]) -> tuple[str, str, str]:
    """Time and files are added, memory is the most of one; "unknown" where nothing is known."""
    seconds = [one.seconds for one in estimates if one.seconds is not None]
    memory = [one.memory_bytes for one in estimates if one.memory_bytes is not None]
    disk = [one.disk_bytes for one in estimates if one.disk_bytes is not None]
    none = not estimates
    return (
        seconds_text(sum(seconds) if seconds or none else None),
        bytes_text(round(max(memory, default=0)) if memory or none else None),
        bytes_text(round(sum(disk)) if disk or none else None),
    )
