"""From a stored stream at a traced layer to the top: the pass of everything that shares a clean prompt.

Below the first edited layer a row is the clean pass, whose stream was stored; it starts there and pays only the layers
above. The loop begins at a traced layer, so one compilation serves them all. What differs between callers is how
positions are mixed (`attend`: a sequence of tokens, or the nodes of an answer tree that share a prefix) and what is
carried from layer to layer; both belong to the meeting that they make of each layer.

Cost: the share of one pass that lies above the first layer.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
from jaxtyping import Array, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.model.block import Observe, apply_block, normed
from causeway.engine.model.transformer import Transformer, layer


class Meeting(Protocol):
    """One layer of one trace: observes its streams and mixes its positions."""

    @property
    def carry(self) -> Any:
        """What goes on to the next layer."""

    def attend(
        self, q: Float[Array, "B T H K"], k: Float[Array, "B T G K"], v: Float[Array, "B T G K"]
    ) -> Float[Array, "B T H K"]:
        """Heads' outputs."""

    def __call__(self, stream: str, x: Array) -> Array:
        """The stream to go on with."""


def upper(
    transformer: Transformer,
    x: Float[Array, "B T D"],
    first: int | Int[AnyArray, ""],
    positions: Int[Array, "rows T"],
    meet: Callable[[Array, Any], Meeting],
    carry: Any,
    stop: Int[AnyArray, ""] | None = None,
) -> tuple[Float[Array, "B T D"], Any]:
    """Run blocks `first` to the last on the stream before block `first`.

    Args:
        positions: of the T tokens or nodes. meet: makes a layer's meeting of its index and what is carried.
        stop: the block after the last one that is run, traced, where not all are.

    Returns:
        The stream after the last block that was run, and what was carried to there.
    """

    def run(block, index, state):
        x, carry = state
        meeting = meet(index, carry)
        x = apply_block(block, index, x, positions, transformer.config, meeting.attend, meeting)
        return x, meeting.carry

    if not isinstance(transformer.blocks, tuple):
        end = transformer.config.num_layers if stop is None else stop
        return jax.lax.fori_loop(first, end, lambda at, now: run(layer(transformer.blocks, at), at, now), (x, carry))
    state = x, carry
    for index, block in enumerate(transformer.blocks):
        runs = first <= index if stop is None else (first <= index) & (index < stop)
        state = jax.lax.cond(runs, partial(run, block, index), lambda skipped: skipped, state)
    return state


def top(transformer: Transformer, x: Float[Array, "B Q D"], observe: Observe) -> Float[Array, "B Q V"]:
    """Logits of the stream after the last block."""
    normalised = observe("final_norm", normed(transformer.final_norm, "final_scale", x, observe))
    return observe("logits", transformer.logits(normalised))
