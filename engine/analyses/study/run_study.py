"""Running a study: the stages that are due, one after the other, each as a command of its own.

A stage is skipped when its results are of its fingerprint and as they were written. Results of other values are made
again, with those of every stage that takes them; what no stage of this study made is never touched. A stage that fails
ends the run: those before it are whole, and the same command goes on from there. The page study.json is written anew
after each stage, so it is true at any moment.

How a command is run is given (`Start`), so that nothing here knows of processes.
"""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from causeway.engine.analyses.study.commands import Command, printable
from causeway.engine.analyses.study.page import Outcome, Result, check_same_study, line, write_page
from causeway.engine.analyses.study.records import Digests, Places, Record, written_files
from causeway.engine.analyses.study.stages import Study
from causeway.engine.analyses.study.standing import Kind, Look, Standing, check_free, check_inputs
from causeway.engine.sweep import durable, locks
from causeway.engine.sweep.environment import environment
from causeway.engine.sweep.fingerprint import config_sha256


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended: exit status (negative: a signal), seconds on the clock and of processors, most bytes of
    memory (None: unknown), and whether it was stopped where the same command goes on."""

    status: int
    seconds: float
    cpu_seconds: float = 0.0
    peak_bytes: int | None = None
    stopped: bool = False


class Start(Protocol):
    """Runs a driver with arguments to its end, what it prints going to a file."""

    def __call__(self, arguments: Sequence[str], log: Path) -> Ended:
        """Args: arguments: the driver and its flags. log: of what is printed."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Which part of a study is run: `only` these stages, or from `start` on; `repair`: all bytes are compared, and
    what is damaged or was changed by hand is made again."""

    only: Sequence[str] = ()
    start: str | None = None
    repair: bool = False


def run_study(
    study: Study,
    commands: Mapping[str, Command],
    workdir: Path,
    run: Start,
    limits: Limits = Limits(),
    tell: Callable[[str], None] = print,
) -> list[Result]:
    """Run what is due of a study; the same call goes on.

    Args:
        study: its stages. commands: by stage. workdir: of this study alone. run: runs one command. limits: a part of
            it. tell: is given one line a stage.

    Returns:
        A result for each stage, in order; none after one that failed or was stopped has been run.

    Raises:
        ValueError: the workdir is another study's or in use; a part of a study takes what is not there; a stage's
            folder holds what the stage did not write, or what was changed since.
    """
    chosen, places = study.chosen(limits.only, limits.start), Places(workdir)
    durable.make_folder(places.records)
    with locks.exclusive(workdir / locks.LOCK_FILE):
        check_same_study(study, places, limits.repair)
        running = _Running(study, commands, places, run, limits, tell)
        running.check(chosen)
        return running.all(chosen)


class _Running:
    """One run."""

    def __init__(
        self,
        study: Study,
        commands: Mapping[str, Command],
        places: Places,
        run: Start,
        limits: Limits,
        tell: Callable[[str], None],
    ):
        self._study, self._commands, self._places = study, commands, places
        self._run, self._limits, self._tell = run, limits, tell
        self._digests = Digests(places.records / "inputs.json")
        self._look = Look(commands, places, self._digests, limits.repair)
        self._standings: dict[str, Standing] = {}

    def check(self, chosen: Sequence[str]) -> None:
        """Refuse, before anything is run."""
        self._standings = self._look.all(self._study)
        argument = "from" if self._limits.start is not None else "only"
        check_inputs(self._study, chosen, self._standings, argument)
        for name in chosen:
            if not self._standings[name].fresh:
                check_free(self._places, name, self._standings[name], self._limits.repair)

    def all(self, chosen: Sequence[str]) -> list[Result]:
        """Every stage in order, until one does not end well."""
        results: list[Result] = []
        for stage in self._study.stages:
            ended = bool(results) and results[-1].outcome in (Outcome.FAILED, Outcome.STOPPED)
            results.append(self._left_out(stage.name) if ended or stage.name not in chosen else self._stage(stage.name))
            if results[-1].outcome is not Outcome.LEFT_OUT:
                self._tell(line(results[-1], len(results), len(self._study.stages)))
            self._write(results)
            if results[-1].outcome in (Outcome.FAILED, Outcome.STOPPED):
                results += [self._left_out(name) for name in self._study.names[len(results) :]]
                self._write(results)
                break
        return results

    def _write(self, results: Sequence[Result]) -> None:
        """The page, with the stages that are still to come as they stand."""
        coming = [self._left_out(name) for name in self._study.names[len(results) :]]
        write_page(self._study, self._places, [*results, *coming])
        self._digests.keep()

    def _left_out(self, name: str) -> Result:
        standing = self._standings[name]
        outcome = Outcome.SKIPPED if standing.fresh else Outcome.LEFT_OUT
        # What a stage waited for when the run began may have been made since.
        why = "" if standing.fresh or standing.kind is Kind.WAITING else standing.why
        return Result(name, outcome, self._typed(name), standing.record, self._places.folder(name), why)

    def _typed(self, name: str) -> str:
        return printable(self._commands[name].typed(self._places))

    def _stage(self, name: str) -> Result:
        """Skip a stage, or run it."""
        try:
            standing = self._standings[name] = self._look.at(name, self._standings)
        except (ValueError, OSError) as error:
            return Result(name, Outcome.FAILED, self._typed(name), None, self._places.folder(name), str(error))
        if standing.fresh:
            return self._left_out(name)
        assert standing.identity is not None  # what it takes has been made
        further = self._cleared(name, standing)
        begun = self._begun(name, standing.identity, standing)
        begun.write(self._places.record(name))
        ended = self._run(self._commands[name].typed(self._places, *further), self._places.log(name))
        return self._ended(name, begun, ended)

    def _cleared(self, name: str, standing: Standing) -> list[str]:
        """Make way for a stage, or let it go on; returns the flags that it needs for that."""
        check_free(self._places, name, standing, self._limits.repair)
        command, folder = self._commands[name], self._places.folder(name)
        there = folder.is_dir() and any(folder.iterdir())
        if standing.kind is Kind.UNFINISHED:
            return ["overwrite"] if there and "overwrite" in command.known else []
        if standing.kind is Kind.DAMAGED and "repair" in command.known and command.place == "workdir":
            return ["repair"]
        for place in (folder, self._places.work(name)):
            shutil.rmtree(place, ignore_errors=True)
        durable.remove(self._places.log(name))
        return []

    def _begun(self, name: str, identity: Mapping[str, Any], standing: Standing) -> Record:
        before = standing.record if standing.kind is Kind.UNFINISHED else None
        return Record(
            self._study.name, name, self._commands[name].stage.driver, config_sha256(identity), identity,
            self._typed(name), seconds=before.seconds if before else 0.0,
            cpu_seconds=before.cpu_seconds if before else 0.0, recorded=environment(),
        )  # fmt: skip

    def _ended(self, name: str, begun: Record, ended: Ended) -> Result:
        folder, command = self._places.folder(name), self._commands[name]
        record = dataclasses.replace(
            begun, seconds=begun.seconds + ended.seconds, cpu_seconds=begun.cpu_seconds + ended.cpu_seconds,
            peak_bytes=ended.peak_bytes,
        )  # fmt: skip
        outcome = Outcome.STOPPED if ended.stopped else Outcome.FAILED if ended.status else Outcome.DONE
        why = "" if outcome is Outcome.DONE else _how(ended.status)
        if outcome is Outcome.DONE:
            files = written_files(folder) if command.place else ()
            if command.place and not files:
                outcome, why = Outcome.FAILED, "has written nothing"
            else:
                size = sum(file.size for file in files)
                record = dataclasses.replace(record, finished=True, files=files, disk_bytes=size)
                shutil.rmtree(self._places.work(name), ignore_errors=True)
        record.write(self._places.record(name))
        kind = Kind.FRESH if record.finished else Kind.UNFINISHED
        self._standings[name] = Standing(kind, why or kind.value, record, begun.identity)
        return Result(name, outcome, begun.command, record, folder, why)


def _how(status: int) -> str:
    """How a command ended that did not end well."""
    return f"ended by signal {-status}" if status < 0 else f"exit status {status}"
