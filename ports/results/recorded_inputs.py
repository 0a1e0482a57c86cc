"""What a stage read, for its record: the folder as it was given, and the sha256 of each file.

    inputs: {results: {folder: "runs/exact", files: {"effects.parquet": "9f2c..."}}, features: {...}}

`integrate` compares it with what lies in that folder now, so that what was run again after others had read it is told
from what they read.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from causeway.engine.earlier_results import EarlierResults
from causeway.engine.sweep.fingerprint import file_sha256

# What results tell of the model and dictionaries that they were made with.
FINGERPRINTS = ("model_fingerprint", "dictionaries_fingerprint")


def folder_read(folder: str | Path, names: Iterable[str]) -> dict[str, Any]:
    """Some files of a folder."""
    return {"folder": str(folder), "files": {name: file_sha256(Path(folder) / name) for name in names}}


def file_read(path: str | Path) -> dict[str, Any]:
    """One file."""
    return folder_read(Path(path).parent, [Path(path).name])


def earlier_read(folder: str | None, results: EarlierResults | None, features: str | None) -> dict[str, Any]:
    """Of a stage that read earlier results, a table of features, or both: `inputs`, and the results' fingerprints."""
    inputs: dict[str, Any] = {"features": file_read(features)} if features else {}
    if folder is None or results is None:
        return {"inputs": inputs}
    inputs["results"] = folder_read(folder, results.files)
    return {"inputs": inputs, **{name: results.about[name] for name in FINGERPRINTS if name in results.about}}
