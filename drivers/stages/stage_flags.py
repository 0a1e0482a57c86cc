"""The stages of a study as commands: their values parsed by the drivers' own flags, before anything is run."""

import difflib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from causeway.drivers.main import QUESTIONS
from causeway.drivers.stages.parsed import PLACES
from causeway.engine.analyses.study.commands import Command
from causeway.engine.analyses.study.records import Places
from causeway.engine.analyses.study.stages import Stage, Study, read_study

# Flags whose texts name files or folders, where such are there; of others only texts that look like paths do.
FILE_FLAGS = frozenset({
    "answers", "associations", "config", "data", "dictionaries", "directions", "feature_labels", "features", "graphs",
    "model", "neurons", "pathways", "prompts", "replay", "representations", "results", "select", "source", "sweep",
    "targets", "test_source", "tokenizer",
})  # fmt: skip
# Flags that name what is written.
WRITTEN_FLAGS = frozenset({"export_npy", "out", "workdir"})


def study_of(config: Any) -> Study:
    """The study of a configuration: a ConfigDict, or dicts and sequences.

    Raises:
        ValueError: naming the part that is wrong, or one that is to be given and is empty.
    """
    study = read_study(_plain(config), QUESTIONS)
    for flag in FILE_FLAGS & study.shared.keys():
        if study.shared[flag] == "":
            raise ValueError(f"config.shared.{flag}: got nothing; needs a value, as --config.shared.{flag}=...")
    return study


def commands_of(study: Study, workdir: Path) -> dict[str, Command]:
    """The commands of a study's stages. Cost: 0.2 s.

    Raises:
        ValueError: a value that is no flag of its driver or not of its kind, a shared one that no driver has, a flag
            that a driver needs, something taken from a stage that writes no folder.
    """
    places = Places(workdir)
    requests = [_request(study, stage, places) for stage in study.stages]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "causeway.drivers.stages.parsed"],
        input=json.dumps(requests), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the flags of drivers could not be read: {done.stderr.strip()}")
    looks = dict(zip(study.names, json.loads(done.stdout), strict=True))
    for number, stage in enumerate(study.stages):
        if "error" in looks[stage.name]:
            raise ValueError(f"config.stages[{number}] ({stage.name}, {stage.driver}): {looks[stage.name]['error']}")
    _check_shared(study, looks)
    commands = {stage.name: _command(stage, looks[stage.name]) for stage in study.stages}
    for stage in study.stages:
        for taken in stage.taken:
            if not commands[taken].place:
                raise ValueError(
                    f"config: {stage.name} takes {taken}, but {commands[taken].stage.driver} writes no folder"
                )
    return commands


def _request(study: Study, stage: Stage, places: Places) -> dict[str, Any]:
    takes = {flag: [_path(places, *(take.stage, take.place)) for take in taken] for flag, taken in stage.takes.items()}
    one = {flag: paths if len(paths) > 1 else paths[0] for flag, paths in takes.items()}
    shared = [flag for flag in study.shared if flag not in stage.own]
    return {"driver": stage.driver, "values": dict(stage.flags), "takes": one, "shared": shared}


def _path(places: Places, stage: str, place: str) -> str:
    return str(places.folder(stage) / place)


def _command(stage: Stage, look: Mapping[str, Any]) -> Command:
    known = frozenset(look["resolved"])
    inputs = {
        flag: found
        for flag, texts in look["given"].items()
        if flag not in stage.takes and (found := {text: Path(text) for text in texts if _is_file(flag, text)})
    }
    arguments = {flag: tuple(texts) for flag, texts in look["arguments"].items()}
    place = next((flag for flag in PLACES if flag in known), "")
    return Command(stage, arguments, look["resolved"], inputs, place, known)


def _is_file(flag: str, text: str) -> bool:
    """Whether a text names something on disk that is read."""
    if flag in WRITTEN_FLAGS:
        return False
    try:
        return (flag in FILE_FLAGS or os.sep in text or bool(Path(text).suffix)) and Path(text).exists()
    except (OSError, ValueError):
        return False


def _check_shared(study: Study, looks: Mapping[str, Mapping[str, Any]]) -> None:
    known = {flag for look in looks.values() for flag in look["resolved"]}
    for flag in study.shared:
        if flag not in known:
            near = difflib.get_close_matches(flag, sorted(known), n=1)
            hint = f"; did you mean {near[0]}?" if near else "; leave it out"
            raise ValueError(f"config.shared: no stage's driver has a flag --{flag}{hint}")


def _plain(value: Any) -> Any:
    """Dicts and tuples in place of a ConfigDict."""
    from ml_collections import ConfigDict

    if isinstance(value, ConfigDict | Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value
