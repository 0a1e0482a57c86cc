"""What a study tells: a line a stage, and study.json, which says what was run, with what, and where everything lies."""

import dataclasses
import datetime
import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from causeway.engine.analyses.study.records import Places, Record, read_record
from causeway.engine.analyses.study.stages import Stage, Study
from causeway.engine.sweep.checksums import DamagedDocument, read_sealed, write_sealed
from causeway.engine.sweep.differences import differing_fields, in_words
from causeway.engine.sweep.environment import environment
from causeway.engine.sweep.fingerprint import canonical


class Outcome(enum.Enum):
    """What became of a stage in a run."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    STOPPED = "stopped"
    LEFT_OUT = "not run"


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a stage: its command as a person types it, its record where there is one, its folder, and why it
    was not done."""

    stage: str
    outcome: Outcome
    command: str
    record: Record | None
    folder: Path
    why: str = ""


def line(result: Result, number: int, count: int) -> str:
    """One line of progress: `[3/7] features  done in 12 s, 1.2 GB peak, 3.4 MB  -> runs/study/features`."""
    head, record = f"[{number}/{count}] {result.stage}  ", result.record
    if result.outcome is Outcome.SKIPPED:
        return f"{head}up to date  -> {result.folder}"
    if result.outcome is not Outcome.DONE or record is None:
        return f"{head}{result.outcome.value}: {result.why}"
    return f"{head}done in {seconds_text(record.seconds)}, {bytes_text(record.peak_bytes)} peak, " + (
        f"{bytes_text(record.disk_bytes)}  -> {result.folder}"
    )


def seconds_text(seconds: float | None) -> str:
    """A duration for people."""
    if seconds is None:
        return "unknown"
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return str(datetime.timedelta(seconds=round(seconds)))


def bytes_text(count: int | None) -> str:
    """A size for people."""
    if count is None:
        return "unknown"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


def write_page(study: Study, places: Places, results: Sequence[Result]) -> None:
    """study.json, sealed."""
    document = {
        "study": study.name,
        **described(study),
        "workdir": str(places.workdir),
        "results": [_told(result, places) for result in results],
        "environment": environment(),
    }
    write_sealed(places.page, document)


def _told(result: Result, places: Places) -> dict[str, Any]:
    record = result.record
    return {
        "stage": result.stage,
        "status": result.outcome.value,
        "why": result.why,
        "command": result.command,
        "folder": str(result.folder),
        "log": str(places.log(result.stage)),
        "fingerprint": record.fingerprint if record else None,
        "seconds": round(record.seconds, 3) if record else None,
        "cpu_seconds": round(record.cpu_seconds, 3) if record else None,
        "peak_bytes": record.peak_bytes if record else None,
        "disk_bytes": record.disk_bytes if record and record.finished else None,
    }


def described(study: Study) -> dict[str, Any]:
    """The resolved configuration, as JSON values; stages by name."""
    return {"shared": canonical(study.shared), "stages": {stage.name: _described(stage) for stage in study.stages}}


def _described(stage: Stage) -> Mapping[str, Any]:
    values = canonical({flag: value for flag, value in stage.flags.items() if flag in stage.own})
    takes = {flag: [str(take) for take in taken] for flag, taken in stage.takes.items()}
    return {"driver": stage.driver, "flags": values, "takes": takes}


def check_same_study(study: Study, places: Places, repair: bool) -> None:
    """Refuse the workdir of another study.

    Raises:
        ValueError: naming both, and field by field in what they differ.
    """
    stored = _stored(study, places, repair)
    if stored is not None and stored.get("study") != study.name:
        now = {"study": study.name, **described(study)}
        known = {field: now[field] for field in now if field in stored}
        differences = differing_fields(stored, known)
        told = f"workdir: {places.workdir} is of another study: {in_words(differences)}; give another workdir"
        refusal = ValueError(told)
        refusal.add_note("field by field: " + "; ".join(map(str, differences)))
        raise refusal


def _stored(study: Study, places: Places, repair: bool) -> dict[str, Any] | None:
    """The page that is there, or what is known without it."""
    try:
        return read_sealed(places.page)
    except FileNotFoundError:
        return _of_records(study, places)
    except DamagedDocument as damage:
        if not repair:
            raise DamagedDocument(f"{damage}; rerun with --repair, which writes it again") from None
        return _of_records(study, places)


def _of_records(study: Study, places: Places) -> dict[str, Any] | None:
    """What the records say of the study that wrote them, where the page is not there."""
    for name in study.names:
        try:
            record = read_record(places.record(name))
        except DamagedDocument:
            continue
        if record is not None:
            return {"study": record.study}
    return None
