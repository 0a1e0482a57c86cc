"""Which results lie in a folder: of which command, whether they are whole, and what they were made from.

A command's results are known by the files it writes (`KINDS`): one is there as soon as it has begun, another once it
has ended. A folder may be that of one command or hold many, as a study's or the demo's does; what a command keeps for
itself (units, arrays, stages of its own) is looked into for how far it is, and is no result.

Cost: a listing of the folders, and the small JSON files in them; no table is read.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from causeway.engine.sweep.plan import PLAN_FILE

# Folders that hold parts of results, not results.
_INSIDE = ("units", "stages", "figures", "graphs", "generated-*", "layer_*", "*.zarr", "*.work", "*.partial", ".*")
# A folder of somebody's whole disk is a mistake, found out soon.
_DEEPEST, MOST = 6, 500


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a command's results are known.

    Attributes:
        driver: the command.
        whole: the file that is written last, as a glob, by which whole results are known too.
        begun: a file that is there before that, or "plan:NAME", a plan of that name.
        about: a JSON file that tells of the results.
        stages: folders with plans of their own, which the command goes through.
    """

    driver: str
    whole: str
    begun: str = ""
    about: str = ""
    stages: tuple[str, ...] = ()


# A line for each command that writes results.
KINDS = (
    Kind("prompts", "*_train.jsonl"),
    Kind("evaluate", "baseline_metrics_*.json", "baseline_*.csv", "baseline_metrics_*.json"),
    Kind("features", "*_samples.npy", "layer_*/*_top_k_indices.npy", "*_summary.json"),
    Kind("contexts", "summary.json", "plan:contexts", "summary.json"),
    Kind("screen", "screen.parquet", about="summary.json"),
    Kind("patch_sweep", "effects.parquet", "plan:patch_sweep", "summary.json"),
    Kind("attribute", "scores.jsonl", "plan:attribute"),
    Kind("attribute", "graphs/graph-metadata.json"),  # graphs alone, as `cw.save_graph` writes them
    Kind("virtual_weights", "virtual_weights.parquet"),
    Kind("intervene", "interventions.parquet", "plan:intervene"),
    Kind("represent", "represent.json", "representations.npy", "represent.json"),
    Kind("direction", "directions.json", "directions.npy", "directions.json"),
    Kind("rank", "rank.json", about="rank.json"),
    Kind("second_order", "second_order.json", "plan:second_order", "second_order.json"),
    Kind("components", "components.json", "plan:components", "components.json"),
    Kind("decompose", "decompose.json", "decomposition_layer_*.npz", "decompose.json"),
    Kind("ablate", "ablate.json", "ablations.parquet", "ablate.json"),
    Kind("edit", "edit.json", "edits.parquet", "edit.json"),
    Kind("polysemanticity", "polysemanticity.json", "polysemanticity.parquet", "polysemanticity.json"),
    Kind("errors", "errors.json", "errors.parquet", "errors.json"),
    Kind("adversarial", "adversarial.json", "words.parquet", "adversarial.json"),
    Kind("audit", "data_validation.json", about="data_validation.json"),
    Kind("select", "select.json", about="select.json"),
    Kind("pathways", "pathways.json", "discovery/plan.json", "pathways.json",
         ("discovery", "predictions", "replay", "mediation")),
    Kind("replay", "replay_pathways.parquet", "free/plan.json", "replay.json", ("free", "teacher_forced")),
    Kind("tokens", "tokens.json", about="tokens.json"),
    Kind("integrate", "integrated.json", about="integrated.json"),
    Kind("train_dictionary", "quality.json", about="quality.json"),
    Kind("study", "study.json", "stages/inputs.json", "study.json"),
)  # fmt: skip
_STAGES = {kind.driver: kind.stages for kind in KINDS}


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command wrote into a folder.

    Attributes:
        driver: the command.
        folder: where. name: the same below the folder that was asked for, "" for itself.
        missing: what is not there, as a person is told; "" where the command has ended.
        done, planned: finished units of work, and how many there will be; None where the command has no units.
        plan: the plan of the run, {} where there is none. about: the JSON file that tells of the results, {} likewise.
        command: as it was run, "" where nothing says.
    """

    driver: str
    folder: Path
    name: str
    missing: str = ""
    done: int | None = None
    planned: int | None = None
    plan: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    command: str = ""

    @property
    def whole(self) -> bool:
        """Whether the command has ended."""
        return not self.missing

    @property
    def environment(self) -> Mapping[str, Any]:
        """Versions, device, host and code that made it; {} where nothing says."""
        inside = [part for part in (self.about.get("about"), self.about.get("summary")) if isinstance(part, Mapping)]
        told = [self.plan.get("recorded"), *(part.get("environment") for part in (self.about, *inside))]
        return next((found for found in told if found and isinstance(found, Mapping)), {})

    @property
    def model(self) -> str:
        """The model's name, "" where nothing says."""
        inside = self.about.get("about")
        told = [part.get("model") for part in (self.plan.get("about"), self.about, inside) if isinstance(part, Mapping)]
        return next((found for found in told if isinstance(found, str)), "")


def find_results(folder: Path) -> list[Result]:
    """All results in a folder and below it, in the order of their names.

    Raises:
        ValueError: no folder, nothing in it that a command wrote, or very many folders.
    """
    if not folder.is_dir():
        raise ValueError(f"workdir: got {folder}; needs a folder that a command wrote, or one that holds several such")
    found = [result for place in folders(folder) for result in _results_in(place, folder)]
    stages = {result.folder / stage for result in found for stage in _STAGES.get(result.driver, ())}
    found = [result for result in found if result.folder not in stages]
    commands = {result.folder / name: command for result in found for name, command in _commands(result)}
    found = [dataclasses.replace(result, command=commands.get(result.folder, "")) for result in found]
    if not found:
        raise ValueError(f"workdir: {folder} holds no results of a command; needs a --workdir or --out of one")
    return found


def _commands(result: Result) -> list[tuple[str, str]]:
    """Of a study, the folder and the command of each stage that was run."""
    found = result.about.get("results") if result.driver == "study" else None
    told = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
    return [(str(one["stage"]), str(one["command"])) for one in told if one.get("stage") and one.get("command")]


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file; {} where there is none, it is damaged, or it holds something else.

    Half of a surrogate pair, which JSON can say and neither UTF-8 nor Arrow can hold, becomes a `?`.
    """
    try:
        content = path.read_bytes()
        found = json.loads(content)
        if b"\\ud" in content.lower():
            found = json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _counts(plan: Mapping[str, Any]) -> list[int]:
    """How many of each of its units a plan has; [] where that is not what stands there."""
    units = plan.get("units")
    pairs = [unit for unit in units if isinstance(unit, list) and len(unit) == 2] if isinstance(units, list) else []
    return [unit[0] for unit in pairs if isinstance(unit[0], int)]


def folders(top: Path) -> Iterator[Path]:
    """The folder and those below that may hold results, by name.

    Raises:
        ValueError: they are very many.
    """
    for seen, (here, below, _) in enumerate(os.walk(top)):
        place = Path(here)
        deep = len(place.relative_to(top).parts) >= _DEEPEST
        below[:] = [] if deep else sorted(name for name in below if not _is_inside(name))
        if seen == MOST:
            raise ValueError(f"workdir: {top} has more than {MOST} folders; give one that holds fewer results")
        yield place


def _is_inside(name: str) -> bool:
    """Whether a folder of this name holds parts of results, not results."""
    return any(Path(name).match(pattern) for pattern in _INSIDE)


def _results_in(folder: Path, top: Path) -> list[Result]:
    # A model that `edit` exported has an edit.json of its own.
    if any(folder.glob("model*.safetensors")):
        return []
    name = folder.relative_to(top).as_posix()
    plan = read_json(folder / PLAN_FILE)
    # Of a command's two lines the first counts.
    kinds = {kind.driver: kind for kind in reversed(KINDS) if _is_of(kind, folder, plan)}
    return [_result(kind, folder, "" if name == "." else name, plan) for kind in reversed(kinds.values())]


def _is_of(kind: Kind, folder: Path, plan: Mapping[str, Any]) -> bool:
    if kind.begun.startswith("plan:"):
        return plan.get("name") == kind.begun.removeprefix("plan:")
    return any(folder.glob(kind.whole)) or (bool(kind.begun) and any(folder.glob(kind.begun)))


def _result(kind: Kind, folder: Path, name: str, plan: Mapping[str, Any]) -> Result:
    places = [folder] if kind.begun.startswith("plan:") else [folder / stage for stage in kind.stages]
    plans = [read_json(place / PLAN_FILE) for place in places]
    planned = sum(count for one in plans for count in _counts(one))
    done = sum(1 for place in places for _ in place.glob("units/*.json"))
    about = next((read_json(path) for path in sorted(folder.glob(kind.about))), {}) if kind.about else {}
    return Result(
        driver=kind.driver,
        folder=folder,
        name=name,
        missing="" if any(folder.glob(kind.whole)) else _missing(kind, done, planned),
        done=done if planned else None,
        planned=planned or None,
        plan=next(filter(None, plans), {}),
        about=about,
    )


def _missing(kind: Kind, done: int, planned: int) -> str:
    """What a command that has not ended still has to do."""
    if planned and done < planned:
        return f"{done} of {planned} units of work are finished; the results are written when all are"
    units = f"though all {planned} units of work are finished" if planned else "which is written last"
    return f"{kind.whole} is not there, {units}"
