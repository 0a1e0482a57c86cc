"""Training of small language models and of dictionaries."""
