"""Running a sweep from end to end in a workdir: estimate, run, and what follows when all units are done.

plan.json, units/, trials.parquet, activations.zarr   the sweep's data (`engine.sweep`)
prompts.jsonl                                          the token ids that prompts and answers were run as
effects.parquet                                        effects and decisions (`effects`)
summary.json                                           one page of numbers (`summary`)
original_rule.parquet                                  the original study's decisions, where its arms were sampled
causeway.sha256                                        checksums of the last four (`engine.sweep.checksums`)
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.dataset

from causeway.engine import memory
from causeway.engine.analyses.as_published.causal_rule import original_rule
from causeway.engine.analyses.patch_sweep.buckets import fitting_bucket
from causeway.engine.analyses.patch_sweep.card_plan import CardPlan, Target, card_plan
from causeway.engine.analyses.patch_sweep.contrasts import make_contrasts
from causeway.engine.analyses.patch_sweep.cost import Lengths, known_lengths, overhead, pilots, program_calls
from causeway.engine.analyses.patch_sweep.design import EVERY
from causeway.engine.analyses.patch_sweep.effects import EffectSettings, effects
from causeway.engine.analyses.patch_sweep.exact_units import exact_unit
from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep, described
from causeway.engine.analyses.patch_sweep.sampled_units import sampled_unit
from causeway.engine.analyses.patch_sweep.sweep_summary import count_original_rule, summarise
from causeway.engine.bench.gemm import gemm_rate
from causeway.engine.sweep import job
from causeway.engine.sweep.checksums import written_alone
from causeway.engine.sweep.durable import write_bytes
from causeway.engine.sweep.estimate import Estimate, estimate_abstract, estimate_measured, uncompressed_bytes
from causeway.engine.sweep.guard import DiskGuard
from causeway.engine.sweep.job import Job
from causeway.engine.sweep.layout import UnitResult
from causeway.engine.sweep.manifest import finished_table
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.processes import results_by_one
from causeway.engine.sweep.report import SweepReport
from causeway.engine.sweep.table import write_table

# Feature values are mostly zeros: their shards take about a tenth; a little less is assumed.
COMPRESSION = 8
# What is derived from the trials and may be read by others.
RESULTS = ("effects.parquet", "summary.json", "original_rule.parquet")


@dataclasses.dataclass(frozen=True)
class PatchJob(Job):
    """A sweep as a job."""

    sweep: PatchSweep

    @property
    def plan(self) -> Plan:
        """The sweep's."""
        return self.sweep.plan

    def unit(self, index: int) -> UnitResult:
        """Some rows of one prompt."""
        return (exact_unit if self.sweep.settings.outcome == "exact" else sampled_unit)(self.sweep, index)

    @property
    def expected_bytes(self) -> int:
        """An estimate of what is written."""
        return uncompressed_bytes(self.plan) // COMPRESSION

    @property
    def beside(self) -> Mapping[str, bytes]:
        """What the prompts were run as, token ids included."""
        told = [{n: v for n, v in described(prompt).items() if n != "answers"} for prompt in self.sweep.prompts]
        return {"prompts.jsonl": "".join(json.dumps(line) + "\n" for line in told).encode()}


def run(sweep: PatchSweep, workdir: Path, *, guard: DiskGuard | None = None, repair: bool = False) -> SweepReport:
    """Compute what is missing of a sweep; the same call resumes."""
    return job.run(PatchJob(sweep), workdir, guard=guard, repair=repair)


def check_effects(sweep: PatchSweep, settings: EffectSettings) -> None:
    """Refuse, before anything is computed, arms from which no effect could be estimated afterwards.

    Raises:
        ValueError: no arm that patches a feature, or none to hold it against.
    """
    arms = [sweep.rows.arms[i] for i in np.unique(sweep.rows.arm)]
    if (sweep.rows.feature == EVERY).all():
        raise ValueError(
            f"arms: got {', '.join(map(str, arms))}, which patch no feature; needs some of patch, ablate and dose"
        )
    make_contrasts(arms, settings.values or None, noop_is_baseline=settings.noop_is_baseline)


def finish(workdir: Path, settings: EffectSettings, about: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Estimate the effects of a finished sweep and write `effects.parquet` and `summary.json`.

    Args:
        workdir: of the sweep. settings: what is compared. about: what was done to features (`PatchSweep.about`).

    Returns:
        The summary.

    Raises:
        ValueError: the trials are not those that were written, or another process writes here.
        ShareDone: another process of the crew writes them.
    """
    results_by_one()
    trials = pyarrow.dataset.dataset(finished_table(workdir, "trials", "patch_sweep").path)
    table = effects(trials, settings)
    with written_alone(workdir, RESULTS):
        write_table(workdir / "effects.parquet", table)
        summary = (
            {"edits": dict(about or {})}
            | summarise(trials, table)
            | {"original_rule": write_original_rule(workdir, trials)}
        )
        write_bytes(workdir / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    return summary


def write_original_rule(workdir: Path, trials: pyarrow.dataset.Dataset) -> dict[str, Any]:
    """Write the original study's decisions beside ours, where its arms, contexts and sampled answers are there."""
    try:
        decisions = original_rule(trials)
    except ValueError as reason:
        return {"not_evaluated": str(reason)}
    write_table(workdir / "original_rule.parquet", decisions)
    return dict(count_original_rule(decisions))


def estimate(
    sweep: PatchSweep, workdir: Path, basis: Literal["abstract", "measured"], target: Target | None = None,
    lengths: Lengths | None = None,
) -> Estimate | CardPlan:  # fmt: skip
    """What the sweep will take: from shapes and compiler analysis, here or on a card, or from pilot units.

    Args:
        lengths: new tokens of rollouts like its own (default: of those that are finished in the workdir).
    """
    if lengths is None and sweep.settings.outcome == "sampled":
        lengths = known_lengths(workdir, sweep.plan)
    if target is not None:
        return card_plan(sweep, target, lengths)
    found = _estimated(sweep, workdir, basis, lengths)
    found = dataclasses.replace(found, memory_there=memory.memory_there_bytes())
    return found if found.fits else dataclasses.replace(found, note=fitting_bucket(sweep).text())


def _estimated(
    sweep: PatchSweep, workdir: Path, basis: Literal["abstract", "measured"], lengths: Lengths | None
) -> Estimate:  # fmt: skip
    plan, on_host = sweep.plan, memory.in_host_memory()
    if basis == "measured":
        return estimate_measured(plan, PatchJob(sweep).unit, workdir.parent, pilots(sweep), in_host_memory=on_host)
    numerics = sweep.model.numerics
    dtype = "bfloat16" if numerics.in_parts else numerics.compute
    rate = gemm_rate(rows=sweep.settings.rows, dtype=dtype) * sweep.parallel.count
    return estimate_abstract(
        plan, program_calls(sweep, lengths), flops_per_second=rate, in_host_memory=on_host, overhead=overhead(sweep)
    )
