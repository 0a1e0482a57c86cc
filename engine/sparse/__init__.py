"""Sparse mathematics: principal directions from codes, and pursuit over dictionaries of atoms."""
