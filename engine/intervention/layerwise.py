"""Activations recorded first, encoded layer by layer afterwards.

A pass with raw taps needs no dictionary, so all of the device's memory is the model's; its records go to the host.
Then each layer's dictionary is there in turn (`StreamedDictionaries` fetches the next one meanwhile) and reads that
layer's records the way a tap inside the pass would have.

Cost: host memory of the raw records, P B T D numbers; on the device one layer of them, its dictionary and its reading.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.dictionary import Dictionary, take
from causeway.engine.dictionary.placement import StreamedDictionaries
from causeway.engine.intervention.taps import BoundTap, Reading, Record, TapSpec, bind_tap, read
from causeway.engine.precision import full_precision


def read_layerwise(
    record: Record,
    recorded: TapSpec,
    spec: TapSpec,
    dictionaries: StreamedDictionaries | Dictionary,
    ids: Int[AnyArray, "P S"] | None = None,
) -> Record:
    """What taps of `spec` would have read in the pass that made a raw record.

    Args:
        record: of a pass, values [P', B, T, ...], valid [B, T].
        recorded: the raw tap that made it.
        spec: the stream recorded, read by `all`, `selected` or `top_k`; its layers are among those recorded.
        dictionaries: streamed, or a stack.
        ids: features, for `selected`.

    Returns:
        The record on the host, values [P, B, T, width] in the order of `spec.layers`.

    Raises:
        ValueError: the specs do not belong together, or a layer has no dictionary.
    """
    _check(recorded, spec)
    # Each layer is called 0, so that one compiled program reads them all.
    readings, first = [], dataclasses.replace(spec, layers=(0,))
    for place, layer in enumerate(spec.layers):
        tap = bind_tap(first, _alone(dictionaries, layer), None if ids is None else np.asarray(ids)[place : place + 1])
        stream = record.values[recorded.layers.index(layer)]
        readings.append(jax.device_get(_read(tap, jnp.asarray(stream))))
    values = np.stack([values for values, _ in readings])
    found = None if readings[0][1] is None else np.stack([ids for _, ids in readings])
    shown = np.asarray(record.valid)[None, ..., None]
    return Record(np.where(shown, values, 0), record.valid, found)


@jax.jit
@full_precision
def _read(tap: BoundTap, x: jax.Array) -> Reading:
    return read(tap, x, 0)


def _alone(dictionaries: StreamedDictionaries | Dictionary, layer: int) -> Dictionary:
    """A stack of one layer's dictionary, said to be of layer 0."""
    if isinstance(dictionaries, Dictionary):
        one = take(dictionaries, dictionaries.config.index_of(layer))
    else:
        one = dictionaries.layer(layer)
    alone = jax.tree.map(lambda leaf: leaf[None], one)
    alone.config = dataclasses.replace(one.config, layers=(0,))
    return alone


def _check(recorded: TapSpec, spec: TapSpec) -> None:
    if recorded.reader != "raw" or recorded.stream != spec.stream:
        raise ValueError(
            f"recorded: a {recorded.reader} tap of {recorded.stream}; needs a raw tap of {spec.stream}, which is read"
        )
    if not spec.needs_dictionary:
        raise ValueError(f"spec: reader {spec.reader!r} reads no dictionary; needs all, selected or top_k")
    if missing := sorted(set(spec.layers) - set(recorded.layers)):
        raise ValueError(f"spec.layers: {missing} were not recorded; recorded are {list(recorded.layers)}")
