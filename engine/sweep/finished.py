"""The merged table of a finished run, for whoever reads it without the run's own plan: later commands, summaries.

Whatever is read of it was checked first: the plan and the manifest by their own checksums, the table by the manifest's.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from causeway.engine.sweep.manifest import Manifest
from causeway.engine.sweep.plan import read_plan


@dataclasses.dataclass(frozen=True)
class FinishedTable:
    """A merged table.

    Attributes:
        path: the Parquet file. sha256: of it. plan: the plan that it is the data of (`config`, `parts`, `about`).
    """

    path: Path
    sha256: str
    plan: Mapping[str, Any]


def finished_table(workdir: Path, name: str, command: str) -> FinishedTable:
    """Checks and gives the table of a finished run. Cost: one reading of the file.

    Args:
        workdir: of the run. name: of the table, as `trials`. command: that makes it, for messages.

    Raises:
        FileNotFoundError: the folder is not that of a finished run. ValueError: a file in it is damaged.
    """
    path = workdir / f"{name}.parquet"
    for file in (path, path.with_suffix(".json")):
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file; needs the --workdir of a finished `{command}` run")
    plan = read_plan(workdir)
    manifest = Manifest.read(workdir, path.with_suffix(".json"), plan["fingerprint"])
    manifest.check(deep=True)
    (entry,) = manifest.files
    return FinishedTable(path, entry["sha256"], plan)
