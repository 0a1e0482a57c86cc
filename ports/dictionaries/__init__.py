"""Dictionaries as published: formats, folds, placement, and writing them."""
