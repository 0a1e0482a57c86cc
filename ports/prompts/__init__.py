"""Prompt records and the inputs of the analyses that read them."""
