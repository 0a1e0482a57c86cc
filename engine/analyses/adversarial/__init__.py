"""Prompts that make a model err, made from what its neurons say and checked by its answers."""
