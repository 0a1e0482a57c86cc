"""The programs of `read`: a pass that leaves streams at the places read, and a layer's reduction of them.

`run_and_reduced` is both in one program, where what is kept needs no dictionary or is pulled back to the streams.

Shapes: B rows of a pass, S places of a row, P layers, D stream, A numbers that are pulled back.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.intervention.instruments import Differentiated, Instruments
from causeway.engine.intervention.sites import side_by_side
from causeway.engine.intervention.taps import BoundTap
from causeway.engine.model.forward import causal_pass
from causeway.engine.model.transformer import Transformer
from causeway.engine.reading.reductions import Place, Reduction, Results


def streams_read(
    shared: tuple[Transformer, tuple[BoundTap, ...]],
    own: tuple[Int[Array, "B T"], Int[Array, " B"], Int[Array, "B S"]],
    differentiated: Differentiated | None = None,
) -> tuple[tuple[Float[Array, "P B S D"], ...], Bool[Array, " B"]]:
    """The streams at the places read, and whether each row's pass gave numbers."""
    (transformer, taps), (tokens, lengths, places) = shared, own
    # The pass's own logits are not used, so the compiler drops them.
    out = causal_pass(transformer, tokens, Instruments(taps=taps, differentiated=differentiated), lengths)
    return tuple(_at(places, record.values) for record in out.records), jnp.all(out.finite, axis=1)


def _at(places: Int[Array, "B S"], values: AnyArray) -> Float[Array, "P B S D"]:
    """A stream of all tokens, [P, B, T, ...], at the places read."""
    return jax.vmap(side_by_side)(jnp.asarray(values))[:, jnp.arange(len(places))[:, None], places]


def run_and_reduced(
    shared: tuple[Transformer, tuple[BoundTap, ...], Any], own: tuple[Array, Array, Array, Array, Array], *,
    reduce: Reduction,
) -> tuple[Results, Bool[Array, " B"]]:  # fmt: skip
    """`streams_read` and `reduced` of all layers, in one program."""
    (transformer, taps, data), (tokens, lengths, places, there, labels) = shared, own
    slopes: tuple[Array, ...] = ()
    if reduce.pulled:
        streams, finite, slopes = _streams_and_slopes(shared, own, reduce)
    else:
        streams, finite = streams_read((transformer, taps), (tokens, lengths, places))
    numbers = jnp.zeros(3, jnp.int32)
    return reduced((transformer, None, numbers, data), (streams, there, labels, None), slopes, reduce=reduce), finite


def _streams_and_slopes(
    shared: tuple[Transformer, tuple[BoundTap, ...], Any], own: tuple[Array, Array, Array, Array, Array],
    reduce: Reduction,
) -> tuple[tuple[Array, ...], Bool[Array, " B"], tuple[Array, ...]]:  # fmt: skip
    """`streams_read`, and the slopes [A, P, B, S, D] of the reduction's numbers.

    Zeros are pushed onto the pulled streams; rows do not meet, so the gradient of a sum over rows is that of each.
    """
    (transformer, taps, data), (tokens, lengths, places, there, labels) = shared, own

    def numbers(pushes: dict[str, Array]) -> tuple[Array, tuple[tuple[Array, ...], Array]]:
        found = Differentiated(pushes, reduce.constant)
        streams, finite = streams_read((transformer, taps), (tokens, lengths, places), found)
        wide = tuple(map(_widened, streams))
        place = Place(wide, there, labels, transformer=transformer, data=data)
        return reduce.numbers(place), (streams, finite)

    every = tuple(tap for tap in taps if tap.spec.stream in reduce.pulled)
    shapes = jax.eval_shape(lambda: causal_pass(transformer, tokens, Instruments(taps=every), lengths).records)
    pushes = {
        tap.spec.stream: jnp.zeros(record.values.shape, jnp.promote_types(record.values.dtype, jnp.float32))
        for tap, record in zip(every, shapes, strict=True)
    }
    found, back, (streams, finite) = jax.vjp(numbers, pushes, has_aux=True)
    ways = jnp.eye(found.shape[1], dtype=found.dtype)
    (pulled,) = jax.lax.map(lambda way: back(jnp.broadcast_to(way, found.shape)), ways)
    slopes = tuple(jax.vmap(partial(_at, places))(pulled[name]) for name in reduce.pulled)
    return streams, finite, slopes


def reduced(
    shared: tuple[Transformer | None, Any, Int[Array, "3"], Any],
    own: tuple[tuple[Float[Array, "P B S D"], ...], Bool[Array, "B S"], Int[Array, "B S"], Any],
    slopes: tuple[Float[Array, "A P B S D"], ...] = (),
    *,
    reduce: Reduction,
) -> Results:
    """One layer's results, or those of all; computed in float32 or better whatever the model computes in."""
    (transformer, dictionary, numbers, data), (streams, there, labels, carried) = shared, own
    layer, index, slot = numbers
    chosen = streams if reduce.whole else tuple(stream[slot] for stream in streams)
    wide = tuple(map(_widened, chosen))
    return reduce(Place(wide, there, labels, layer, index, dictionary, transformer, data, slopes, carried))


def _widened(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
