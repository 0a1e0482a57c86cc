"""The threshold of top-p: the least weight of the smallest set of largest weights that holds a share of their sum.

    threshold[b] = max { t : sum_v w[b, v] (w[b, v] >= t)  >=  share * sum_v w[b, v] }

What ties with the last member is in. Positive floats are ordered as their bit patterns are, so that t is found digit
by digit from the top, exactly and without a sort: a pass over the weights takes their mass from each of 2^n - 1
thresholds on and so decides n of the 31 bits, or of the fewer that tell apart what the threshold is known to lie
between. Sums of weights that are not negative are monotone in the threshold even
as they are rounded, so how many bits a pass decides does not change what is found.

    xla       passes of one bit on CPU, where a pass costs as many additions as it has thresholds, of four on other
              devices, where it costs a reading of the weights: 8 of them for 31 bits; the reference
    pallas    one kernel, a program a row: all passes run over a row that the cache keeps; not yet measured

Shapes: B rows, V tokens.
Cost: 31 B V comparisons and additions with one bit a pass, 120 B V with four; readings of the weights as above.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from causeway.kernels.top_p import pallas, xla

Implementation = Literal["xla", "pallas"]
ANY = float(np.finfo(np.float32).max)
IMPLEMENTATIONS = {"xla": xla.threshold, "pallas": pallas.threshold}


@functools.partial(jax.jit, static_argnames=("between", "implementation"), inline=True)
def top_p_threshold(
    weights: Float[Array, "B V"],
    share: float | Float[Array, ""],
    *,
    between: tuple[float, float] = (0.0, ANY),
    implementation: Implementation = "xla",
) -> Float[Array, "B 1"]:
    """The least weight that is in; in a row that holds NaN the least it may be.

    Args:
        weights: float32, not negative, of any scale.
        share: of each row's sum, in (0, 1].
        between: numbers that it lies between, both included.
        implementation: how it is computed.
    """
    return IMPLEMENTATIONS[implementation](weights, share * jnp.sum(weights, axis=-1, keepdims=True), between)
