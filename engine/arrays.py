"""Alias for leaves that are numpy arrays on the host, where they are made and checked, and jax.Array on a device."""

import jax
import numpy as np

AnyArray = jax.Array | np.ndarray
