"""A replay from end to end in a workdir: rollouts, the same edits along clean tokens, and what is read of both.

free/              rollouts of every arm: a sampled run of `patch_sweep` that recorded (plan.json, trials.parquet, ...)
teacher_forced/    edited arms along the clean rollouts' tokens (`forced`): a run of its own, its arrays its own
replay_pathways.parquet   `pathways`; replay_sources.parquet, first_difference.parquet   `divergence`
replay_logits.parquet     `logits`, where logits were recorded; replay.json   `replay_summary`

A finished run of `patch_sweep` that recorded is read just so, without its model (`finish` with its store).
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from causeway.engine.analyses.patch_sweep import run as sweeps
from causeway.engine.analyses.patch_sweep.arms import BASELINE
from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.analyses.replay import replay_summary
from causeway.engine.analyses.replay.columns import Pair, columns_of
from causeway.engine.analyses.replay.comparisons import FORCED, FREE, comparisons
from causeway.engine.analyses.replay.divergence import first_differences, source_table
from causeway.engine.analyses.replay.estimates import halves_of
from causeway.engine.analyses.replay.forced import ForcedJob, continuations, edited_arms
from causeway.engine.analyses.replay.gather import Source
from causeway.engine.analyses.replay.logits import logit_table
from causeway.engine.analyses.replay.pathways import PathwaySettings, pathway_columns, pathway_table
from causeway.engine.analyses.replay.recorded import Recorded
from causeway.engine.sweep import job
from causeway.engine.sweep.checksums import written_alone
from causeway.engine.sweep.durable import remove, write_bytes
from causeway.engine.sweep.guard import DiskGuard
from causeway.engine.sweep.runner import SweepReport
from causeway.engine.sweep.table import write_table

PATHWAYS, SOURCES = "replay_pathways.parquet", "replay_sources.parquet"
DIFFERENCES, LOGITS, SUMMARY = "first_difference.parquet", "replay_logits.parquet", "replay.json"
RESULTS = (PATHWAYS, SOURCES, DIFFERENCES, LOGITS, SUMMARY)


@dataclasses.dataclass(frozen=True)
class Replayed:
    """What a replay found.

    Attributes:
        pathways: a row for each source, arm, target, measure and step (`pathways`). sources: a row for each source and
            arm. differences: a row for each source, arm, prompt and trial. logits: a row for each source, arm and
            token; None where none were recorded. summary: JSON-able.
    """

    pathways: pa.Table
    sources: pa.Table
    differences: pa.Table
    logits: pa.Table | None
    summary: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Replayed({self.pathways.num_rows} pathways of {self.sources.num_rows} sources and arms)"


def check(sweep: PatchSweep, teacher_forced: bool, targets: Sequence[Pair] | None = None) -> None:
    """Refuse, before anything is computed, what could not be read afterwards.

    Raises:
        ValueError: no edit, no clean arm, nothing recorded, or targets that are not recorded.
    """
    arms = sweep.settings.arms
    if not any(arm.kind in ("patch", "ablate") for arm in arms):
        raise ValueError(f"arms: got {', '.join(map(str, arms))}, which set no feature; needs patch or ablate")
    if BASELINE not in arms:
        more = ", along whose tokens all others are run" if teacher_forced else ", with which edits are compared"
        raise ValueError(f"arms: got {', '.join(map(str, arms))}; needs baseline too{more}")
    if sweep.settings.outcome != "sampled" or not sweep.settings.recording.reader:
        raise ValueError("record_features: got nothing; needs patched, all, top:K or a table of features")
    recording = sweep.settings.recording
    for layer, feature in targets or ():
        ids = range(sweep.dictionary.num_features)
        if recording.ids is not None and layer in recording.layers:
            ids = recording.ids[recording.layers.index(layer)].tolist()
        if layer not in recording.layers or feature not in ids or feature < 0:
            raise ValueError(
                f"targets: layer {layer} feature {feature} is not recorded; record it too (record_features), or leave "
                "it out"
            )


def run(
    sweep: PatchSweep, workdir: Path, *, teacher_forced: bool = True, guard: DiskGuard | None = None,
    repair: bool = False,
) -> SweepReport:  # fmt: skip
    """Compute what is missing; the same call resumes.

    Returns:
        How the last of the two runs ended; `stopped` says why it ended early.
    """
    report = sweeps.run(sweep, workdir / FREE, guard=guard, repair=repair)
    if report.stopped or not teacher_forced:
        return report
    given = continuations(Recorded.open(workdir / FREE, "replay"))
    return job.run(ForcedJob(edited_arms(sweep), given), workdir / FORCED, guard=guard, repair=repair)


def estimate(sweep: PatchSweep, workdir: Path, basis: Literal["abstract", "measured"], teacher_forced: bool) -> str:
    """What it will take, in words: the free run, and the one along its tokens, which costs what its arms cost."""
    told = [sweeps.estimate(sweep, workdir, basis).text()]
    if teacher_forced:
        found = sweeps.estimate(edited_arms(sweep), workdir, basis)
        told.append(dataclasses.replace(found, name=FORCED).text())
    return "\n".join(told)


def read(
    free: Recorded, forced: Recorded | None, settings: PathwaySettings, *, targets: Sequence[Pair] | None = None,
    text: Callable[[int], str] | None = None,
) -> Replayed:  # fmt: skip
    """Everything that follows from finished stores.

    Args:
        free, forced: the stores. targets: features whose change is asked; None for all that were recorded. text: of a
            token id.

    Raises:
        ValueError: targets that were not recorded, or arms that cannot be compared.
    """
    edits, controls = comparisons(free)
    columns = columns_of(free, targets, [(one.layer, one.feature) for one in edits])
    halves = halves_of(free.prompt_ids, free.group_of, settings.split, settings.seed)
    measures = {FREE: Source(free, free)} | ({FORCED: Source(forced, free)} if forced else {})
    parts = [
        part
        for measure, source in measures.items()
        for part in pathway_columns(measure, source, edits, controls, columns, halves)
    ]
    pathways, differences = pathway_table(parts, settings), first_differences(free, edits)
    sources = source_table(free, edits, differences)
    logits = logit_table(free, edits, text) if free.recording["top_logits"] else None
    summary = replay_summary.summarise(free, pathways, sources, settings, halves is not None)
    return Replayed(pathways, sources, differences, logits, summary)


def finish(
    workdir: Path, settings: PathwaySettings, *, sweep: Path | None = None, teacher_forced: bool = True,
    targets: Sequence[Pair] | None = None, text: Callable[[int], str] | None = None,
) -> Replayed:  # fmt: skip
    """Read finished stores and write what follows into the workdir.

    Args:
        sweep: the workdir of a finished run of `patch_sweep` to read in place of the replay's own stores.

    Raises:
        FileNotFoundError, ValueError: see `read`, or another process writes there.
    """
    free = Recorded.open(sweep or workdir / FREE, "patch_sweep" if sweep else "replay")
    forced = Recorded.open(workdir / FORCED, "replay") if teacher_forced and sweep is None else None
    found = read(free, forced, settings, targets=targets, text=text)
    with written_alone(workdir, RESULTS):
        write_table(workdir / PATHWAYS, found.pathways)
        write_table(workdir / SOURCES, found.sources)
        write_table(workdir / DIFFERENCES, found.differences)
        if found.logits is not None:
            write_table(workdir / LOGITS, found.logits)
        else:
            remove(workdir / LOGITS)
        write_bytes(workdir / SUMMARY, (json.dumps(found.summary, indent=1) + "\n").encode())
    return found
