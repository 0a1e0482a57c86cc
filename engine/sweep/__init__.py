"""Planned, resumable computations: plan, store, runner."""
