"""How a stage stands before it is run: up to date, to be run and why, or in the way of what somebody else made."""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any

from causeway.engine.analyses.study.commands import Command
from causeway.engine.analyses.study.records import Digests, Places, Record, changed, foreign, missing, read_record
from causeway.engine.analyses.study.stages import Study
from causeway.engine.sweep.checksums import DamagedDocument
from causeway.engine.sweep.differences import differing_fields, in_words
from causeway.engine.sweep.fingerprint import config_sha256


class Kind(enum.Enum):
    """What there is of a stage."""

    FRESH = "is up to date"
    ABSENT = "has not been run"
    UNFINISHED = "has not ended"
    STALE = "is of other values"
    DAMAGED = "is not whole"
    WAITING = "takes what is not up to date"


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a stage stands.

    Attributes:
        kind: see above. why: in words. record: what there is of it. identity: what decides its results; None while
            what it takes is not there.
    """

    kind: Kind
    why: str
    record: Record | None = None
    identity: Mapping[str, Any] | None = None

    @property
    def fresh(self) -> bool:
        """Whether there is nothing to do."""
        return self.kind is Kind.FRESH


@dataclasses.dataclass(frozen=True)
class Look:
    """Looks at the stages of a study in a workdir.

    Attributes:
        commands: by stage. places: of the workdir. digests: of files from elsewhere. repair: compare all bytes.
    """

    commands: Mapping[str, Command]
    places: Places
    digests: Digests
    repair: bool = False

    def all(self, study: Study) -> dict[str, Standing]:
        """Every stage, in order."""
        found: dict[str, Standing] = {}
        for stage in study.stages:
            found[stage.name] = self.at(stage.name, found)
        return found

    def at(self, name: str, earlier: Mapping[str, Standing]) -> Standing:
        """One stage.

        Args:
            earlier: those that it takes.
        """
        record, stage = self.record(name), self.commands[name].stage
        if waits := [taken for taken in stage.taken if not earlier[taken].fresh]:
            return Standing(Kind.WAITING, f"{waits[0]} {earlier[waits[0]].kind.value}", record)
        records = {taken: found for taken in stage.taken if (found := earlier[taken].record) is not None}
        identity = self.commands[name].identity(records, self.digests)
        return Standing(*self._compared(name, record, identity), record, identity)

    def record(self, name: str) -> Record | None:
        """A stage's record; a damaged one is none where all is made again that is damaged."""
        try:
            return read_record(self.places.record(name))
        except DamagedDocument:
            if self.repair:
                return None
            raise

    def _compared(self, name: str, record: Record | None, identity: Mapping[str, Any]) -> tuple[Kind, str]:
        if record is None:
            return Kind.ABSENT, Kind.ABSENT.value
        if record.fingerprint != config_sha256(identity):
            return Kind.STALE, in_words(differing_fields(record.identity, identity)).replace("values.", "")
        if not record.finished:
            return Kind.UNFINISHED, "goes on where it was stopped"
        folder = self.places.folder(name)
        if gone := missing(record, folder):
            return Kind.DAMAGED, f"{folder / gone[0]} is gone"
        if wrong := changed(record, folder, self.repair):
            return Kind.DAMAGED, wrong[0]
        return Kind.FRESH, Kind.FRESH.value


def check_inputs(study: Study, chosen: Sequence[str], standings: Mapping[str, Standing], argument: str) -> None:
    """Refuse a part of a study that takes what is not there and would not be made.

    Args:
        chosen: the part. argument: that chose it.

    Raises:
        ValueError: saying what to run.
    """
    for stage in study.stages:
        for taken in stage.taken if stage.name in chosen else ():
            if taken not in chosen and not standings[taken].fresh:
                needed = [name for name in study.names if name in _with_taken(study, stage.name, standings)]
                raise ValueError(
                    f"{argument}: {stage.name} takes {taken}, which {_told(standings[taken])}; run it first, as with "
                    f"--only={','.join(needed)}"
                )


def _with_taken(study: Study, name: str, standings: Mapping[str, Standing]) -> set[str]:
    """A stage with all that it takes and that is not up to date."""
    stage = study.stages[study.names.index(name)]
    due = [taken for taken in stage.taken if not standings[taken].fresh]
    return {name}.union(*(_with_taken(study, taken, standings) for taken in due))


def _told(standing: Standing) -> str:
    known = standing.kind.value
    return known if standing.why == known else f"{known}: {standing.why}"


def check_free(places: Places, name: str, standing: Standing, repair: bool) -> None:
    """Refuse to run a stage over what it did not write, or over what somebody has changed since.

    Raises:
        ValueError: naming the file and what to do.
    """
    folder = places.folder(name)
    if folder.is_file():
        raise ValueError(f"workdir: {folder} is a file, where {name} has its folder; move it away")
    if others := foreign(standing.record, folder):
        raise ValueError(f"workdir: {others[0]} was not made by this study; move it away, or give another workdir")
    if standing.record is not None and not repair and (wrong := changed(standing.record, folder)):
        raise ValueError(
            f"workdir: {wrong[0]}; rerun with --repair, which makes {name} again, or copy it elsewhere and put the "
            "first one back"
        )
