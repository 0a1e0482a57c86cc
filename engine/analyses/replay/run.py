"""A replay from end to end in a workdir: rollouts, the same edits along clean tokens, and what is read of both.

free/              rollouts of every arm: a sampled run of `patch_sweep` that recorded (plan.json, trials.parquet, ...)
teacher_forced/    edited arms along the clean rollouts' tokens (`forced`): a run of its own, its arrays its own

What follows from them (`read`) are tables: `pathways`, `divergence`, `logits`, and `replay_summary`. A finished run of
`patch_sweep` that recorded is read just so, without its model (`read_stores` with its store).
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from causeway.engine.analyses.patch_sweep import run as sweeps
from causeway.engine.analyses.patch_sweep.arms import BASELINE
from causeway.engine.analyses.patch_sweep.card_plan import Target
from causeway.engine.analyses.patch_sweep.cost import known_lengths
from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.analyses.replay import replay_summary
from causeway.engine.analyses.replay.columns import Pair, columns_of
from causeway.engine.analyses.replay.comparisons import FORCED, FREE, comparisons, fewest_controls
from causeway.engine.analyses.replay.divergence import first_differences, source_table
from causeway.engine.analyses.replay.estimates import halves_of
from causeway.engine.analyses.replay.forced import ForcedJob, continuations, edited_arms
from causeway.engine.analyses.replay.gather import Source
from causeway.engine.analyses.replay.logits import logit_table
from causeway.engine.analyses.replay.pathways import PathwaySettings, pathway_columns, pathway_table
from causeway.engine.analyses.replay.recorded import Recorded
from causeway.engine.sweep import job
from causeway.engine.sweep.guard import DiskGuard
from causeway.engine.sweep.report import SweepReport


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


def check(
    sweep: PatchSweep, settings: PathwaySettings, teacher_forced: bool, targets: Sequence[Pair] | None = None
) -> None:  # fmt: skip
    """Refuse, before anything is computed, what could not be read afterwards.

    Raises:
        ValueError: no edit, no clean arm, too few random features, nothing recorded, or targets that are not recorded.
    """
    arms = sweep.settings.arms
    draws = Counter(arm.randomised for arm in arms if arm.kind == "random")
    if draws and min(draws.values()) < settings.draws:
        raise ValueError(
            f"random_draws: got {min(draws.values())}; a band that {settings.alpha:g} of random features leave takes "
            f"{settings.draws} for each source and value; use as many, or leave random out of the arms (nothing is "
            "called a pathway then)"
        )
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


def estimate(
    sweep: PatchSweep, workdir: Path, basis: Literal["abstract", "measured"], teacher_forced: bool,
    target: Target | None = None,
) -> str:  # fmt: skip
    """What it will take, in words: the free run, and the one along its tokens, which costs what its arms cost.

    Rows along given tokens are as long as those of the free run, as far as they are there.
    """
    lengths = known_lengths(workdir / FREE, sweep.plan)
    told = [sweeps.estimate(sweep, workdir, basis, target, lengths).text()]
    if teacher_forced:
        found = sweeps.estimate(edited_arms(sweep), workdir, basis, target, lengths)
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
        for part in pathway_columns(measure, source, edits, controls, columns, halves, 1 - settings.alpha)
    ]
    pathways, differences = pathway_table(parts, settings), first_differences(free, edits)
    sources = source_table(free, edits, differences)
    logits = logit_table(free, edits, text) if free.recording["top_logits"] else None
    told = replay_summary.Done(halves is not None, fewest_controls(edits, controls))
    summary = replay_summary.summarise(free, pathways, sources, settings, told)
    return Replayed(pathways, sources, differences, logits, summary)


def read_stores(
    workdir: Path, settings: PathwaySettings, *, sweep: Path | None = None, teacher_forced: bool = True,
    targets: Sequence[Pair] | None = None, text: Callable[[int], str] | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> Replayed:  # fmt: skip
    """What follows from finished stores.

    Args:
        sweep: the workdir of a finished run of `patch_sweep` to read in place of the replay's own stores.
        inputs: files that were read, for the record.

    Raises:
        FileNotFoundError, ValueError: see `read`.
    """
    free = Recorded.open(sweep or workdir / FREE, "patch_sweep" if sweep else "replay")
    forced = Recorded.open(workdir / FORCED, "replay") if teacher_forced and sweep is None else None
    found = read(free, forced, settings, targets=targets, text=text)
    return dataclasses.replace(found, summary={**found.summary, "inputs": dict(inputs or {})})
