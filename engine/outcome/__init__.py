"""What a model did: answer probabilities and parsers."""
