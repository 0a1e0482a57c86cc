"""Results of earlier commands for `integrate`, from their folders.

    select      causal_features.parquet, select.json
    effects     --results: a workdir of `patch_sweep`, or a published study's files (`study_files`)
    pathways    pathways.parquet, chains.parquet (where chains were measured), pathways.json
    replay      replay_pathways.parquet, replay.json
    tokens      associations.parquet, outcomes.parquet, tokens.json

Each table comes with the sha256 of its files, with the fingerprints of model and dictionaries that its stage recorded,
and with the sha256 of the files that it read (`recorded_inputs`), as far as its record tells them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine.analyses.integrate.inputs import Inputs, Origin
from causeway.engine.sweep.fingerprint import file_sha256
from causeway.engine.sweep.plan import read_plan
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.files.text_files import CONFIG_BYTES, read_text
from causeway.ports.results.study_files import read_earlier

# By stage: its tables' files, those that may be missing, and its record.
FILES: Mapping[str, tuple[Mapping[str, str], tuple[str, ...], str]] = {
    "select": ({"select": "causal_features.parquet"}, (), "select.json"),
    "pathways": ({"pathways": "pathways.parquet", "chains": "chains.parquet"}, ("chains",), "pathways.json"),
    "replay": ({"replay": "replay_pathways.parquet"}, (), "replay.json"),
    "tokens": ({"associations": "associations.parquet", "outcomes": "outcomes.parquet"}, (), "tokens.json"),
}
# The flags of stages that have another name.
_FLAGS = {"effects": "results", "tokens": "associations"}
# Fields of records that say what a stage was made of, and the names they have here.
_RECORDED = {"model_fingerprint": "model", "dictionaries_fingerprint": "dictionaries"}
_PLANNED = {"weights": "model", "dictionaries": "dictionaries"}


def read_inputs(folders: Mapping[str, str]) -> Inputs:
    """The tables of stages.

    Args:
        folders: by stage.

    Raises:
        FileNotFoundError: a folder or file is not there.
        ValueError: a damaged file, tables that do not fit their stages, or stages made of different things.
    """
    tables: dict[str, pa.Table] = {}
    origins: dict[str, Origin] = {}
    for stage, folder in folders.items():
        read = _effects if stage == "effects" else _stage
        for name, (table, origin) in read(stage, Path(folder)).items():
            tables[name], origins[name] = table, origin
    return Inputs(tables, origins)


def _stage(stage: str, folder: Path) -> dict[str, tuple[pa.Table, Origin]]:
    flag = _FLAGS.get(stage, stage)
    if not folder.is_dir():
        raise FileNotFoundError(f"--{flag}: {folder}: no such folder; give what `causeway {stage}` wrote")
    names, optional, record = FILES[stage]
    about = folder / record
    if not about.is_file():
        raise FileNotFoundError(f"--{flag}: {folder} has no {record}: not finished, or not of `causeway {stage}`")
    told = parse_json(read_text(about, CONFIG_BYTES), str(about))
    identity, inputs = _identity(folder, told), _inputs(told)
    found = {}
    for name, file in names.items():
        if name in optional and not (folder / file).is_file():
            continue
        table = read_parquet(folder / file, missing=f"run `causeway {stage}` again")
        found[name] = (table, Origin(_place(folder), {file: file_sha256(folder / file)}, identity, inputs))
    return found


def _effects(_: str, folder: Path) -> dict[str, tuple[pa.Table, Origin]]:
    earlier = read_earlier(folder)
    files = {name: file_sha256(folder / name) for name in earlier.files if not name.startswith("response")}
    return {"effects": (earlier.features, Origin(_place(folder), files, _identity(folder, {})))}


def _identity(folder: Path, about: Any) -> dict[str, str]:
    """What a stage says that it was made of: its record, and the plans of runs that resume, in it or one below."""
    found: dict[str, Any] = {}
    for plan in (*sorted(folder.glob("*/plan.json")), *folder.glob("plan.json")):
        parts = read_plan(plan.parent)["parts"]
        found |= {name: parts[part] for part, name in _PLANNED.items() if part in parts}
    if isinstance(about, dict):
        found |= {name: about[field] for field, name in _RECORDED.items() if about.get(field)}
    return {name: str(value) for name, value in found.items()}


def _inputs(about: Any) -> dict[str, dict[str, str]]:
    """Folders that a stage says it read, with the sha256 of their files."""
    told = about.get("inputs") if isinstance(about, dict) else None
    found: dict[str, dict[str, str]] = {}
    for one in told.values() if isinstance(told, dict) else ():
        found.setdefault(_place(Path(one["folder"])), {}).update(one["files"])
    return found


def _place(folder: Path) -> str:
    """One name of a folder, however it was given."""
    return str(folder.absolute())
