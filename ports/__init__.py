"""The outside world's formats, in and out: weights, dictionaries, tokenizers, data sets."""
