"""Logistic regression with an L2 penalty, many at once: the strengths tried on each fold are one compiled program.

    minimise over (w, b):  sum_i c_i [log(1 + exp(f_i)) - y_i f_i] / sum_i c_i + strength |w|^2 / 2,   f_i = z_i w + b

c_i is 0 for the rows that a fold leaves out. The intercept is not penalised. The minimum is the only one, and optax's
L-BFGS goes to it in float64 until the gradient is below `TOLERANCE`, from 0: the same numbers in every run.

Shapes: P rows, r coordinates, J problems. Cost: some dozens of passes over z a problem.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.tree_utils as otu
from jaxtyping import Array, Float

TOLERANCE, MOST_STEPS = 1e-7, 1_000

Weights = tuple[Float[np.ndarray, "J r"], Float[np.ndarray, " J"]]


def logistic_fits(
    z: Float[np.ndarray, "P r"],
    y: Float[np.ndarray, " P"],
    counted: Float[np.ndarray, "J P"],
    strengths: Sequence[float] | Float[np.ndarray, " J"],
) -> Weights:
    """The weights and the intercept of each problem.

    Args:
        z: inputs. y: labels, 0 or 1.
        counted: c, of each problem. strengths: of each problem, above 0.

    Raises:
        ValueError: a problem that does not converge.
    """
    with jax.enable_x64(True):
        arrays = [jnp.asarray(a, jnp.float64) for a in (z, y, counted, strengths)]
        w, b, size = jax.device_get(_fits(*arrays))
    if not (size < 100 * TOLERANCE).all():
        raise ValueError(f"probe: the gradient is still {size.max():.1g} after {MOST_STEPS} steps; scale the inputs")
    return np.asarray(w), np.asarray(b)


@jax.jit
def _fits(
    z: Float[Array, "P r"], y: Float[Array, " P"], counted: Float[Array, "J P"], strengths: Float[Array, " J"]
) -> tuple[Float[Array, "J r"], Float[Array, " J"], Float[Array, " J"]]:
    return jax.lax.map(lambda problem: _fit(z, y, *problem), (counted, strengths))


def _fit(
    z: Float[Array, "P r"], y: Float[Array, " P"], counted: Float[Array, " P"], strength: Float[Array, ""]
) -> tuple[Float[Array, " r"], Float[Array, ""], Float[Array, ""]]:
    """One problem: weights, intercept, and the size of the gradient at the end."""

    def loss(at: tuple[Float[Array, " r"], Float[Array, ""]]) -> Float[Array, ""]:
        w, b = at
        f = z @ w + b
        return jnp.sum(counted * (jax.nn.softplus(f) - y * f)) / jnp.sum(counted) + strength * jnp.sum(w**2) / 2

    optimiser = optax.lbfgs()
    value_and_gradient = optax.value_and_grad_from_state(loss)

    def step(carry):
        at, state = carry
        value, gradient = value_and_gradient(at, state=state)
        change, state = optimiser.update(gradient, state, at, value=value, grad=gradient, value_fn=loss)
        return optax.apply_updates(at, change), state

    def goes_on(carry):
        _, state = carry
        count, gradient = otu.tree_get(state, "count"), otu.tree_get(state, "grad")
        return (count == 0) | ((count < MOST_STEPS) & (optax.tree.norm(gradient) >= TOLERANCE))

    start = (jnp.zeros(z.shape[1], z.dtype), jnp.zeros((), z.dtype))
    (w, b), _ = jax.lax.while_loop(goes_on, step, (start, optimiser.init(start)))
    return w, b, optax.tree.norm(jax.grad(loss)((w, b)))
