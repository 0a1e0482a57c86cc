"""Directions along which a model's stream tells right answers from wrong ones, or one token from another."""
