"""Interventions and recordings as data: sites, edits, taps."""
