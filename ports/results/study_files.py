"""Results of an earlier study from its folder: the published study's files, or a workdir of `patch_sweep`.

    checkpoint_*.json, reparsed_*.json      what was decided of each feature (`study_checkpoints`)
    responses_*.json, patching_*.jsonl      what the model answered (`study_responses`), here or in response_logs/
    trials.parquet, effects.parquet         of a finished `patch_sweep` (`sweep_results`)

Several files are one study when they could be parts of one run: ranges of layers, processes, times. Files that could
not (another number of trials a condition, another layout, another model) are refused, since a table of both would
speak of neither.
"""

from collections.abc import Sequence
from pathlib import Path

from causeway.engine import earlier_features, scalars
from causeway.engine.earlier_results import EarlierResults, each_trial_once
from causeway.ports.results import study_checkpoints, study_responses, sweep_results
from causeway.ports.results.study_checkpoints import Checkpoint

LOGS = "response_logs"


def read_earlier(folder: Path | str) -> EarlierResults:
    """The results of a folder.

    Args:
        folder: of the published study's files, or the --workdir of a finished `patch_sweep`.

    Returns:
        Features and responses; either may be empty, not both.

    Raises:
        FileNotFoundError: no such folder, or no results in it.
        ValueError: a malformed file (with line or entry), or files of several studies.
    """
    if not isinstance(folder, str | Path):
        raise ValueError(f"folder: got {scalars.shown(folder)}; needs the path of a study's results")
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; give that of a study's results")
    places = [folder, folder / LOGS]
    decided = [path for pattern in study_checkpoints.PATTERNS for path in sorted(folder.glob(pattern))]
    checkpoints = [study_checkpoints.read(path) for path in decided]
    lists = [path for place in places for path in sorted(place.glob("responses_*.json"))]
    lines = [path for place in places for path in sorted(place.glob("patching_*.jsonl"))]
    if (folder / sweep_results.TRIALS).is_file():
        return _sweep(folder, checkpoints, lists, lines)
    if lists and lines:
        raise _mixed(folder, f"{lists[0].name} and {lines[0].name} are logs of two layouts")
    if not (checkpoints or lists or lines):
        raise FileNotFoundError(
            f"{folder}: holds no checkpoint_*.json, no responses_*.json or patching_*.jsonl (here or in {LOGS}), and "
            "no trials.parquet; give the folder of a study's results"
        )
    return _study(folder, checkpoints, [*lists, *lines])


def _study(folder: Path, checkpoints: Sequence[Checkpoint], logs: Sequence[Path]) -> EarlierResults:
    _check_one_study(folder, checkpoints)
    read = [study_responses.read(path, folder) for path in logs]
    decided = [row for checkpoint in checkpoints for row in checkpoint.rows]
    seen = {} if checkpoints else {key: row for log in read for key, row in log.features.items()}
    features, conflicting = earlier_features.of_decisions(
        decided or list(seen.values()), checkpoints[0].rule if checkpoints else "v1"
    )  # fmt: skip
    responses, repeated = each_trial_once(study_responses.joined([log.responses for log in read]))
    about = {**checkpoints[0].about, "features_tested": _tested(checkpoints)} if checkpoints else {}
    files = [*(checkpoint.path for checkpoint in checkpoints), *logs]
    names = tuple(path.relative_to(folder).as_posix() for path in files)
    return EarlierResults(features, responses, repeated, conflicting, "study", about, names)


def _tested(checkpoints: Sequence[Checkpoint]) -> int:
    """Features tested over all parts of the run."""
    parts: dict[str, int] = {}
    for checkpoint in checkpoints:
        parts[checkpoint.part] = max(checkpoint.tested, parts.get(checkpoint.part, 0))
    return sum(parts.values())


def _sweep(
    folder: Path, checkpoints: Sequence[Checkpoint], lists: Sequence[Path], lines: Sequence[Path]
) -> EarlierResults:
    """A workdir, whose own export in the study's layout says nothing more."""
    read = sweep_results.read(folder)
    foreign = [checkpoint.path for checkpoint in checkpoints if checkpoint.sweep != read.sha256]
    if not checkpoints:
        foreign += lists
    if foreign := [*foreign, *lines]:
        raise _mixed(folder, f"{foreign[0].name} is no export of the sweep whose {sweep_results.TRIALS} lies there")
    responses, repeated = each_trial_once(read.responses)
    return EarlierResults(read.features, responses, repeated, (), "patch_sweep", read.about, read.files)


def _check_one_study(folder: Path, checkpoints: Sequence[Checkpoint]) -> None:
    """Refuse checkpoints that cannot be of one run."""
    for checkpoint in checkpoints[1:]:
        first = checkpoints[0]
        for name in dict.fromkeys([*first.about, *checkpoint.about]):
            a, b = (one.about.get(name) for one in (first, checkpoint))
            if a != b:
                raise _mixed(
                    folder, f"{name} is {_said(a)} in {first.path.name} and {_said(b)} in {checkpoint.path.name}"
                )


def _said(value: object) -> str:
    return "not told" if value is None else str(value)


def _mixed(folder: Path, reason: str) -> ValueError:
    return ValueError(f"{folder}: holds results of more than one study ({reason}); give each its own folder")
