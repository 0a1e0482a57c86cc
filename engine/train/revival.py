"""New directions for dead features.

A feature that has not fired for many steps gets no gradient and never comes back by itself. It is given the direction
of a reconstruction error, of a token drawn with probability proportional to its squared error (Bricken et al. 2023):
it then explains something the others do not, and fires at once. An SAE's feature reads and writes that direction. A
transcoder's writes it and reads the direction of the token's input, scaled so that its value there is the length of
the error. Where layers are crossed, the error is that of all layers the feature writes to.

Shapes: P layers, B tokens, D stream read, O stream written, F features. Cost: P F B random numbers, every few hundred
steps.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from causeway.engine.train.state import Batch, Decoder, Parameters, reached


def error_directions(
    keys: Key[Array, " P"], error: Float[Array, "P B O"], features: int
) -> tuple[Float[Array, "P F O"], Float[Array, "P F"], Int[Array, "P F"]]:
    """A unit direction for every feature (the caller uses those of the dead ones), the error's norm, and its token.

    Args:
        keys: [P].
        error: reconstruction errors of a batch.
        features: F.
    """
    norm = jnp.maximum(jnp.linalg.norm(error, axis=-1), 1e-12)
    draw = jax.vmap(lambda key, logits: jax.random.categorical(key, logits, shape=(features,)))
    chosen = draw(keys, 2 * jnp.log(norm))
    length = jnp.take_along_axis(norm, chosen, axis=1)
    return jnp.take_along_axis(error, chosen[..., None], axis=1) / length[..., None], length, chosen


def replanted(
    keys: Key[Array, " P"],
    old: Parameters,
    dead: Bool[Array, "P F"],
    batch: Batch,
    error: Float[Array, "P B O"],
    transcodes: bool,
) -> Parameters:
    """Parameters whose dead features begin again, and whose others are left alone.

    Args:
        keys: [P].
        old: as they are.
        dead: which begin again.
        batch: tokens they may begin at. error: its reconstruction errors.
        transcodes: whether what is written is another stream than what is read.
    """
    decoder: Decoder
    if isinstance(old.W_dec, tuple):
        parts = [error_directions(keys[i : i + 1], e[None], dead.shape[1]) for i, e in enumerate(reached(error, True))]
        decoder = tuple(
            jnp.where(gone[:, None], rows[0], kept)
            for gone, (rows, _, _), kept in zip(dead, parts, old.W_dec, strict=True)
        )
        length, chosen = (jnp.concatenate([part[i] for part in parts]) for i in (1, 2))
        fresh = _readers(batch.x, length, chosen)
    else:
        rows, length, chosen = error_directions(keys, error, dead.shape[1])
        decoder = jnp.where(dead[..., None], rows, old.W_dec)
        fresh = _readers(batch.x, length, chosen) if transcodes else rows
    # Half of what the feature will read at the input it was made from: it fires there, and not everywhere.
    level = None if old.log_threshold is None else jnp.where(dead, jnp.log(length / 2), old.log_threshold)
    return Parameters(
        W_enc=jnp.where(dead[:, None], fresh.swapaxes(1, 2), old.W_enc),
        b_enc=jnp.where(dead, 0, old.b_enc),
        W_dec=decoder,
        b_dec=old.b_dec,
        log_threshold=level,
        W_skip=old.W_skip,
    )


def belonging(parameters: Parameters, dead: Bool[Array, "P F"]) -> Parameters:
    """For every parameter whether it is a dead feature's, to be broadcast."""
    crosses = isinstance(parameters.W_dec, tuple)
    nobody = jnp.zeros((), bool)
    return Parameters(
        W_enc=dead[:, None],
        b_enc=dead,
        W_dec=tuple(d[:, None] for d in dead) if crosses else dead[..., None],
        b_dec=nobody,
        log_threshold=None if parameters.log_threshold is None else dead,
        W_skip=None if parameters.W_skip is None else nobody,
    )


def _readers(x: Float[Array, "P B D"], length: Float[Array, "P F"], chosen: Int[Array, "P F"]) -> Array:
    """Encoder columns [P, F, D] that read `length` at the tokens chosen."""
    there = jnp.take_along_axis(x, chosen[..., None], axis=1)
    return there * (length / jnp.maximum(jnp.sum(there**2, axis=-1), 1e-12))[..., None]
