"""Behaviours: prompts with a right and a wrong answer, and how well a model tells the two apart."""
