"""Measurements of speed against what the hardware allows."""
