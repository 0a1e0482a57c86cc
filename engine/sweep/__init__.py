"""Planned, resumable, crash-safe computations: plan, store, runner.

A sweep is a `Plan` (what, fixed by a fingerprint), a `Store` (a workdir: data files and one manifest per finished
unit) and `run_sweep` (computes what is not finished, on one or several devices). It knows nothing of models: an
analysis gives it a `Job`, a plan and a function from unit index to `UnitResult`.
"""
