"""A stage as a command: what its driver's flags made of its values, what a person would type, what decides its results.

The identity of a stage is everything that can change what it writes: the driver, the values of all its flags but those
that say where, how often and how fast, the digests of the files that values name, and of what it takes from earlier
stages their fingerprints and the digests of the files taken. Content decides: a moved file or workdir changes nothing.
Its sha256 is the stage's fingerprint. Versions and devices are recorded beside it and decide nothing.
"""

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from causeway.engine.analyses.study.records import FORMAT, Digests, Places, Record
from causeway.engine.analyses.study.stages import Stage

# Values that change no number: where results go, how they are shown, and over which devices rows are spread.
UNDECIDING = frozenset({
    "out", "workdir", "overwrite", "repair", "traceback", "shared", "show_config", "json", "plan", "only", "from",
    "disk_limits", "devices", "parallel", "placement",
})  # fmt: skip
# Versions of what drivers' rows mean; one that is not named here is of version 1.
ROWS = {"attribute": "3", "intervene": "4", "patch_sweep": "2"}


@dataclasses.dataclass(frozen=True)
class Command:
    """A stage whose values were parsed.

    Attributes:
        stage: the stage. arguments: what a person types of each flag given. resolved: values of all flags, JSON.
        inputs: by flag, the places on disk that its values name, by the text that names each. place: the flag of the
            driver that its folder is given to, `out` or `workdir`; "" where it writes none. known: names of all flags
            of the driver.
    """

    stage: Stage
    arguments: Mapping[str, tuple[str, ...]]
    resolved: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Path]] = dataclasses.field(default_factory=dict)
    place: str = "out"
    known: frozenset[str] = frozenset()

    def typed(self, places: Places, *further: str) -> list[str]:
        """The driver and its arguments.

        Args:
            further: flags such as `overwrite`, which the driver has.
        """
        name = self.stage.name
        where = {self.place: places.folder(name)} if self.place else {}
        if self.place == "out" and "workdir" in self.known:
            where["workdir"] = places.work(name)
        # What every stage is given may have no effect on this one, its workdir among it.
        idle = sorted(
            (self.arguments.keys() - self.stage.own - self.stage.takes.keys()) | (where.keys() - {self.place})
        )
        return [
            self.stage.driver,
            *(text for texts in self.arguments.values() for text in texts),
            *([f"--shared={','.join(idle)}"] if idle else []),
            *(f"--{flag}={folder}" for flag, folder in where.items()),
            *(f"--{flag}" for flag in further),
        ]

    def identity(self, records: Mapping[str, Record], digests: Digests) -> dict[str, Any]:
        """All that decides what the stage writes.

        Args:
            records: of the stages that it takes, finished. digests: of files from elsewhere.

        Raises:
            ValueError: an earlier stage has not written what is taken. OSError: a file cannot be read.
        """
        takes = self.stage.takes
        return {
            "format": FORMAT,
            "driver": self.stage.driver,
            "rows": ROWS.get(self.stage.driver, "1"),
            "values": {
                flag: self._named(flag, value, digests)
                for flag, value in sorted(deciding(self.resolved).items()) if flag not in takes
            },
            "takes": {
                flag: [
                    {
                        "of": str(take),
                        "stage": records[take.stage].fingerprint,
                        "files": records[take.stage].content(take.place),
                    }
                    for take in taken
                ]
                for flag, taken in sorted(takes.items())
            },
        }  # fmt: skip

    def _named(self, flag: str, value: Any, digests: Digests) -> Any:
        """A value whose files stand there by name and content."""
        found = self.inputs.get(flag, {})
        if not found:
            return value
        texts = value if isinstance(value, list) else [value]
        return [f"{found[text].name} {digests.of(found[text])}" if text in found else text for text in texts]


def deciding(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The values that decide results. Of a mesh that is how many places weights are split over; along `data` lie rows.

    Raises:
        ValueError: a mesh that is none.
    """
    values = {flag: value for flag, value in resolved.items() if flag not in UNDECIDING}
    if values.get("mesh"):
        from causeway.engine.mesh import MODEL, mesh_sizes  # jax comes with it, which few studies need here

        _, split = mesh_sizes(values["mesh"])
        values["mesh"] = f"{MODEL}:{split}" if split > 1 else None
    return values


def printable(arguments: list[str]) -> str:
    """A command line as a person types it."""
    return shlex.join(["causeway", *arguments])
