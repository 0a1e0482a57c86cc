"""Arrays of trees that travel: numpy on the host, where they are made and checked, jax on the devices."""

import jax
import numpy as np

AnyArray = jax.Array | np.ndarray
