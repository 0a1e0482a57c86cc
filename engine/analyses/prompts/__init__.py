"""Prompts with a right and a wrong answer: which sets there are, and how they are made and split."""
