"""Virtual weights: which features feed which on the residual stream, from the weights alone."""
