"""Planned, resumable, crash-safe computations: plan, store, runner.

A sweep is a `Plan` (what, fixed by a fingerprint), a `Store` (a workdir: data files and one manifest per finished
unit) and `run_sweep` (computes what is not finished, on one or several devices). It knows nothing of models: an
analysis gives it a `Job`, a plan and a function from unit index to `UnitResult`.
"""

from causeway.engine.sweep.cost import ProgramCost, program_cost
from causeway.engine.sweep.estimate import Estimate, estimate_abstract, estimate_measured, uncompressed_bytes
from causeway.engine.sweep.fingerprint import array_sha256, arrays_sha256, canonical_json, config_sha256, file_sha256
from causeway.engine.sweep.guard import DiskGuard
from causeway.engine.sweep.job import Job, run, tables
from causeway.engine.sweep.layout import ArraySpec, Layout, UnitResult
from causeway.engine.sweep.manifest import Damage, DamagedStore, FinishedTable, finished_table
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.runner import Compute, SweepReport, run_sweep
from causeway.engine.sweep.store import Store

__all__ = [
    "ArraySpec",
    "Compute",
    "Damage",
    "DamagedStore",
    "DiskGuard",
    "Estimate",
    "FinishedTable",
    "Job",
    "Layout",
    "Plan",
    "ProgramCost",
    "Store",
    "SweepReport",
    "UnitResult",
    "array_sha256",
    "arrays_sha256",
    "canonical_json",
    "config_sha256",
    "estimate_abstract",
    "estimate_measured",
    "file_sha256",
    "finished_table",
    "program_cost",
    "run",
    "run_sweep",
    "tables",
    "uncompressed_bytes",
]
