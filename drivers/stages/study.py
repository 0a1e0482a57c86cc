"""`cw.study`: a pipeline from one configuration, as the command `study` runs it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from causeway.drivers.stages import process
from causeway.drivers.stages.facts import Known
from causeway.drivers.stages.shapes import machine
from causeway.drivers.stages.stage_flags import commands_of, study_of
from causeway.engine.analyses.study.commands import Command
from causeway.engine.analyses.study.page import Outcome, Result
from causeway.engine.analyses.study.plan import plan, table
from causeway.engine.analyses.study.records import Digests, Places
from causeway.engine.analyses.study.run_study import Limits, run_study
from causeway.engine.analyses.study.stages import Study
from causeway.engine.analyses.study.standing import Look
from causeway.engine.scalars import shown


class StageFailed(RuntimeError):
    """A stage did not end well; those before it are whole, and the same call goes on."""


def study(
    config: Any,
    workdir: str | Path,
    *,
    only: Sequence[str] = (),
    start: str | None = None,
    repair: bool = False,
    tell: Callable[[str], None] = print,
) -> list[Result]:
    """Run what is due of a pipeline; the same call goes on where it stopped.

    Args:
        config: a ConfigDict, or dicts and lists: `name`; `shared`, values of flags for every stage whose driver has
            such a flag; and `stages`, each with `name`, `driver`, `flags` (values) and `takes` (earlier outputs).
        workdir: a folder of this study alone; stage NAME writes WORKDIR/NAME, and WORKDIR/study.json says what was run.
        only: names of stages, these alone. start: this stage and those after it alone.
        repair: compare all bytes, and make again what is damaged or was changed by hand.
        tell: is given one line a stage.

    Returns:
        A result for each stage, in order.

    Raises:
        ValueError: a configuration that does not hold together, a value that is no flag of its driver or not of its
            kind, a workdir of another study, something in the way that no stage has made.
        StageFailed: a stage ended badly or was stopped; its message has the last lines of what it printed.
    """
    if not isinstance(workdir, str | Path) or not str(workdir):
        raise ValueError(f"workdir: got {shown(workdir)}; needs a folder")
    if isinstance(only, str) or not isinstance(only, Sequence):
        raise ValueError(f"only: got {shown(only)}; needs a list of names of stages")
    if not isinstance(repair, bool) or not callable(tell):
        raise ValueError(f"repair, tell: got {shown(repair)}, {shown(tell)}; needs true or false, and a function")
    found = study_of(config)
    limits = Limits(tuple(only), start, repair)
    found.chosen(limits.only, limits.start)
    results = run_study(found, commands_of(found, Path(workdir)), Path(workdir), process.run, limits, tell)
    if failed := [one for one in results if one.outcome in (Outcome.FAILED, Outcome.STOPPED)]:
        raise StageFailed("\n".join(told(failed[0], Places(Path(workdir)))))
    return results


def planned(study: Study, commands: Mapping[str, Command], workdir: Path, limits: Limits, measured_alone: bool) -> str:
    """What a study, or a part of it, will take: a line a stage, and the sums. Nothing of it is run, no model loaded."""
    places, chosen = Places(workdir), study.chosen(limits.only, limits.start)
    standings = Look(commands, places, Digests(places.records / "inputs.json")).all(study)
    estimates = plan(study, commands, standings, Known(commands, standings, places), machine, measured_alone)
    return table([estimate for estimate in estimates if estimate.stage in chosen])


def told(failed: Result, places: Places) -> list[str]:
    """What a person is told of a stage that did not end well: what it printed last, and how to go on."""
    log = places.log(failed.stage)
    lines = [f"  {text}" for text in process.last_lines(log)] if failed.record else []
    how = f"{failed.stage} {failed.outcome.value}: {failed.why}; all it printed is in {log}"
    return [*lines, how if failed.record else f"{failed.stage} failed: {failed.why}", "the same command goes on there"]
