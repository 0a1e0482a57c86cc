"""Causeway: causal experiments inside language models."""
