"""Tokens and words that features add to what a model writes, or remove."""
