"""New directions for dead features.

A feature that has not fired for many steps gets no gradient and never comes back by itself. It is given the direction
of an input's reconstruction error, the input drawn with probability proportional to its squared error (Bricken et
al. 2023): it then explains something the others do not, and fires at once.

Shapes: P layers, B tokens, D stream, F features. Cost: P F B random numbers, every few hundred steps.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def error_directions(
    keys: PRNGKeyArray, error: Float[Array, "P B D"], features: int
) -> tuple[Float[Array, "P F D"], Float[Array, "P F"]]:
    """A unit direction for every feature (the caller uses those of the dead ones), and the error's norm there.

    Args:
        keys: [P].
        error: reconstruction errors of a batch.
        features: F.
    """
    norm = jnp.maximum(jnp.linalg.norm(error, axis=-1), 1e-12)
    draw = jax.vmap(lambda key, logits: jax.random.categorical(key, logits, shape=(features,)))
    chosen = draw(keys, 2 * jnp.log(norm))
    length = jnp.take_along_axis(norm, chosen, axis=1)
    return jnp.take_along_axis(error, chosen[..., None], axis=1) / length[..., None], length
