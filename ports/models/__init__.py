"""Models as published: families, configurations, weights, tokenizers, names of places."""
