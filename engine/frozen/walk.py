"""Many cotangents taken down through blocks that are linearised where they were recorded: live or frozen.

A target is a number read of one stream at one position of one layer. Its gradient stands at that position alone, so the
target's own block is pulled back through one query (`alone`); below it each block takes R cotangents down together
(`below`), on what was recorded of one forward pass: patterns, queries, keys, values and neurons are formed once a call
and shared by all rows, so every product of theirs is one large GEMM. What is constant to the gradient (`stopped`) makes
the derivatives that differ (`frozen.gradients.STOPPED`): nothing for that of the model itself, attention patterns,
denominators of norms and what MLPs write for the frozen pass.

Shapes: R rows, T tokens, D model, W the stream read, O the stream written.
Cost a row: as many operations as the block's products take going up (those of attention twice), on T positions; of the
target's own block 4 T D G K, because only keys and values stand at every position. Beside it one pass up a call.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.input_norm import normalise
from causeway.engine.intervention.sites import side_by_side
from causeway.engine.model.attention import attend_sequence, causal_mask, window_of
from causeway.engine.model.block import apply_block, keys_and_values
from causeway.engine.model.transformer import Transformer, layer

Observe = Callable[[str, Array], Array]


class Walk(NamedTuple):
    """What all blocks of a walk share.

    Attributes:
        transformer: the modules. config: of the dictionary, whose streams are read and written.
        stopped: streams that are constants to the gradient.
        streams: what goes into each block, [L, T, D], numbers at every position.
        position: the targets', traced; positions after it are not reached.
    """

    transformer: Transformer
    config: DictionaryConfig
    stopped: tuple[str, ...]
    streams: Float[Array, "L T D"]
    position: Int[Array, ""]

    def stop(self, stream: str, x: Array) -> Array:
        """The stream as the gradient is to see it."""
        return jax.lax.stop_gradient(x) if stream in self.stopped else x


def alone(walk: Walk, index: Int[Array, ""], columns: Float[Array, "R W"]) -> Float[Array, "R T D"]:
    """The cotangents at the input of a block from those of what the dictionary reads there at the target's position."""
    x, transformer = walk.streams[index], walk.transformer
    block, config, numerics = layer(transformer.blocks, index), transformer.config, transformer.numerics
    everywhere, here = jnp.arange(x.shape[0])[None], walk.position[None, None]

    def read(x: Float[Array, "T D"]) -> Float[Array, " W"]:
        keys, values = keys_and_values(block, index, x[None], everywhere, config, walk.stop)
        found = {}

        def observe(stream: str, x: Array) -> Array:
            x = walk.stop(stream, x)
            if stream == walk.config.stream:
                found["read"] = side_by_side(x)[0, 0]
            return x

        def attend(q: Array, k: Array, v: Array) -> Array:
            mask = causal_mask(x.shape[0], window_of(config, index))[walk.position][None]
            return attend_sequence(q, keys, values, mask, config, numerics, walk.stop)

        apply_block(block, index, x[walk.position][None, None], here, config, attend, observe)
        return normalise(walk.config.input_norm, found["read"], lambda size: walk.stop("attn_scale", size))

    down = jax.vjp(read, x)[1]
    return jax.vmap(lambda column: down(column)[0])(columns)


def below(
    walk: Walk, index: Int[Array, ""], g: Float[Array, "R T D"], lowest: bool = False
) -> tuple[Float[Array, "R T D"] | None, Float[Array, "R T O"]]:
    """The cotangents at the input of a block and at what the dictionary writes there, from those at its output.

    Args:
        lowest: whether nothing further down is asked for; then None stands for the input's.
    """
    x, transformer = walk.streams[index], walk.transformer
    block, config, numerics = layer(transformer.blocks, index), transformer.config, transformer.numerics
    positions = jnp.arange(x.shape[0])[None]

    def run(x: Float[Array, "T D"], push: Float[Array, "T O"]) -> Float[Array, "T D"]:
        def observe(stream: str, x: Array) -> Array:
            x = walk.stop(stream, x)
            return x + push.reshape(x.shape) if stream == walk.config.output_stream else x

        def attend(q: Array, k: Array, v: Array) -> Array:
            mask = causal_mask(x.shape[0], window_of(config, index))
            return attend_sequence(q, k, v, mask, config, numerics, walk.stop)

        return apply_block(block, index, x[None], positions, config, attend, observe)[0]

    push = jnp.zeros((x.shape[0], config.width(walk.config.output_stream)), x.dtype)
    if lowest:
        down = jax.vjp(lambda push: run(x, push), push)[1]
        return None, jax.vmap(lambda row: down(row)[0])(g)
    return jax.vmap(jax.vjp(run, x, push)[1])(g)
