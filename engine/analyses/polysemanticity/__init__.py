"""Polysemanticity: scores of how many unrelated things a neuron does, each beside what chance would give."""
