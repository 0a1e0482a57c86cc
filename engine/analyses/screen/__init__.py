"""Screening: which features differ between two labelled groups, from activations that stream past."""
