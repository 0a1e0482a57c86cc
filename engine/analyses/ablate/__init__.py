"""Neurons' second-order effects taken away or simplified: in the output space, and in the model itself."""
