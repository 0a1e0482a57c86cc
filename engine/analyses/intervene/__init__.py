"""Interventions on the features of a circuit: one pass, sweeps over features and prompts, and what they show."""
