"""The feature-patching sweep: arms, trials, programs, effects."""
