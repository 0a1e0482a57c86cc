"""The compiled program: a chunk of targets of one prompt, taken down layer by layer and read where features write.

Shapes: R rows of a chunk, S layers of the dictionary in its order, k sources kept of each.
"""

import dataclasses
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from causeway.engine.analyses.pathways import readings
from causeway.engine.analyses.pathways.prompts import Recorded
from causeway.engine.analyses.pathways.readings import By, Found, Given, Planned, Reduce
from causeway.engine.analyses.pathways.targets import columns
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.frozen.gradients import STOPPED
from causeway.engine.frozen.walk import Walk, alone, below
from causeway.engine.model.transformer import Transformer

Derivative = Literal["direct", "total"]
HELD = {"direct": STOPPED["frozen"], "total": STOPPED["full"]}
DERIVATIVES: tuple[Derivative, ...] = ("direct", "total")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shared:
    """What all chunks of a prompt share.

    Attributes:
        transformer, dictionary, prompt. planned: of each layer, [S, U], or None. stratum: sources read whatever their
            effect, [S, 1, k], or None.
    """

    transformer: Transformer
    dictionary: Dictionary
    prompt: Recorded
    planned: Planned | None = None
    stratum: Given | None = None


@dataclasses.dataclass(frozen=True)
class Reading:
    """What is kept of each target and layer; hashable.

    Attributes:
        derivative: what is constant to the gradient. reduce: over positions or not. top: sources kept; 0: only those
            asked for. by: what the sources that are kept are the largest in.
    """

    derivative: Derivative
    reduce: Reduce
    top: int
    by: By = "effect"


def pulled(
    shared: Shared, own: tuple[Int[Array, ""], Int[Array, " R"], Given | None], *, reading: Reading
) -> dict[str, Found]:
    """Sources of a chunk, [S, R, k] each: the strongest (`top`), those of the stratum (`random`) or the chunk's own.

    Layers that are not below the targets' are zeros. A program for `RowParallel.program`.

    Args:
        own: the layer, its features, and sources asked for, [S, R, k], or None.
    """
    layer, features, asked = own
    dictionary, prompt = shared.dictionary, shared.prompt
    walk = Walk(shared.transformer, dictionary.config, HELD[reading.derivative], prompt.streams, prompt.position)
    read = partial(_read, shared, asked, reading)
    g = alone(walk, layer, columns(dictionary, layer, features).astype(prompt.streams.dtype))
    width = shared.transformer.config.width(dictionary.config.output_stream)
    shapes = jax.eval_shape(read, layer, jax.ShapeDtypeStruct((*g.shape[:2], width), g.dtype))
    count, lowest = len(dictionary.config.layers), min(dictionary.config.layers)
    found = jax.tree.map(lambda shape: jnp.zeros((count, *shape.shape), shape.dtype), shapes)

    def add(found: dict[str, Found], index: Int[Array, ""], written: Float[Array, "R T O"]) -> dict[str, Found]:
        place = dictionary.config.place(index)

        def added() -> dict[str, Found]:
            new = read(place, written)
            return jax.tree.map(lambda all_of, one: all_of.at[place].set(one), found, new)

        if set(range(lowest, max(dictionary.config.layers))) <= set(dictionary.config.layers):
            return added()
        return jax.lax.cond(place >= 0, added, lambda: found)

    def step(number: Int[Array, ""], state: tuple[Any, Any]) -> tuple[Any, Any]:
        g, found = state
        index = layer - 1 - number
        g, written = below(walk, index, g)
        return g, add(found, index, written)

    g, found = jax.lax.fori_loop(0, layer - 1 - lowest, step, (g, found))

    def last() -> dict[str, Found]:
        return add(found, jnp.int32(lowest), below(walk, jnp.int32(lowest), g, lowest=True)[1])

    return jax.lax.cond(layer > lowest, last, lambda: found)


def _read(
    shared: Shared, asked: Given | None, reading: Reading, place: Int[Array, ""] | int, g: Float[Array, "R T O"]
) -> dict[str, Found]:
    """One layer's sources."""
    prompt, decoder = shared.prompt, shared.dictionary.W_dec[...][place]
    active, g = prompt.active(place), g.astype(shared.transformer.numerics.accumulate_dtype)
    if shared.dictionary.config.restores:
        g = g * prompt.unit[place][:, None]
    found = {}
    if asked is not None:
        found["asked"] = readings.given(g, decoder, active, _at(asked, place))
    if shared.stratum is not None:
        found["random"] = readings.given(g, decoder, active, _at(shared.stratum, place))
    if not reading.top:
        return found
    if shared.planned is None:
        function = readings.each_active if reading.reduce == "each" else readings.sum_active
        return {"top": function(g, decoder, active, reading.top, reading.by), **found}
    planner = readings.each_planned if reading.reduce == "each" else readings.sum_planned
    return {"top": planner(g, decoder, active, _at(shared.planned, place), reading.top, reading.by), **found}


def _at(tree: Any, place: Int[Array, ""] | int) -> Any:
    return jax.tree.map(lambda array: array[place], tree)
