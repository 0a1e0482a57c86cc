"""Candidates as a table: a row for each source of each target of each prompt.

    prompt                        the prompt's id
    target_layer, target_feature, target_position
    source_layer, source_feature, source_position    position -1: summed over the positions of the sources' scope
    activation                    of the source there; of sums the mean over the positions
    gradient                      of the target's pre-activation by the source's activation; of sums their sum
    effect                        gradient times the change, in units of the target's pre-activation
    stratum                       top: among the strongest; random: drawn whatever its effect; asked: asked for

What is stored has a row a target, sources in lists, so that a unit's rows are known before it is computed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from causeway.engine.analyses.pathways.prompts import PlacedPrompt
from causeway.engine.analyses.pathways.readings import Found
from causeway.engine.analyses.pathways.sources import NOWHERE
from causeway.engine.analyses.pathways.targets import Chunk
from causeway.engine.model.finite import NotFiniteError

STRATA = ("top", "random", "asked")
TARGET = {
    "prompt": pa.string(),
    "target_layer": pa.int32(),
    "target_feature": pa.int32(),
    "target_position": pa.int32(),
}
PLACE = {"source_layer": pa.int32(), "source_feature": pa.int32(), "source_position": pa.int32()}
NUMBERS = ("activation", "gradient", "effect")


def stored_schema(dtype: str) -> pa.Schema:
    """Of what is stored; `dtype` is that of sums."""
    number = pa.float64() if dtype == "float64" else pa.float32()
    sources = PLACE | dict.fromkeys(NUMBERS, number) | {"stratum": pa.int8()}
    return pa.schema([*TARGET.items(), *((name, pa.list_(kind)) for name, kind in sources.items())])


def stored(
    prompt: PlacedPrompt, chunk: Chunk, found: Mapping[str, Found], layers: Sequence[int], schema: pa.Schema
) -> pa.Table:
    """A row for each target of a chunk: its sources by layer, then by stratum, the strongest first.

    Args:
        found: sources [S, R, k] by stratum; none where no layer is below. layers: S of them.

    Raises:
        NotFiniteError: an effect is not a number.
    """
    count = len(chunk.features)
    columns: dict[str, list[Any]] = {name: [np.zeros(0)] for name in ("row", *PLACE, *NUMBERS, "stratum")}
    below = np.flatnonzero(np.asarray(layers) < chunk.layer)
    for stratum, sources in found.items():
        own = Found(*(array[below, :count] for array in sources))
        if not np.isfinite(own.effect).all():
            raise NotFiniteError(f"effects on features of layer {chunk.layer} are not numbers (prompt {prompt.id})")
        place, row, rank = np.nonzero(_real(stratum, own))
        at = (place, row, rank)
        numbers = (own.activation[at], own.gradient[at], own.effect[at])
        kept = (row, np.asarray(layers)[below][place], own.feature[at], own.position[at], *numbers)
        for name, values in zip(columns, (*kept, np.full(len(row), STRATA.index(stratum))), strict=True):
            columns[name].append(values)
    flat = {name: np.concatenate(parts) for name, parts in columns.items()}
    # Sorts are stable: sources of a layer and stratum keep their order.
    order = np.lexsort((flat["stratum"], flat["source_layer"], flat["row"]))
    offsets = pa.array(np.searchsorted(flat.pop("row")[order], np.arange(count + 1)).astype(np.int32))
    lists = {
        name: pa.ListArray.from_arrays(offsets, pa.array(values[order]).cast(schema.field(name).type.value_type))
        for name, values in flat.items()
    }
    targets = {
        "prompt": [prompt.id] * count, "target_layer": [chunk.layer] * count,
        "target_feature": chunk.features, "target_position": [prompt.position] * count,
    }  # fmt: skip
    return pa.table({**targets, **lists}, schema=schema)


def _real(stratum: str, found: Found) -> Bool[np.ndarray, "S R k"]:
    """Which are sources: what has no effect is not among the strongest, and what fills up is nowhere."""
    return np.asarray(found.effect != 0 if stratum == "top" else found.position != NOWHERE)


def laid_out(table: pa.Table) -> pa.Table:
    """A row for each source, from a row for each target."""
    lists = {name: table[name].combine_chunks() for name in (*PLACE, *NUMBERS, "stratum")}
    counts = lists["stratum"].value_lengths().to_numpy()
    row = np.repeat(np.arange(len(table)), counts)
    columns = {name: table[name].take(row) for name in TARGET} | {name: a.flatten() for name, a in lists.items()}
    strata = pa.DictionaryArray.from_arrays(columns["stratum"].cast(pa.int32()), pa.array(STRATA))
    return pa.table(columns | {"prompt": columns["prompt"].dictionary_encode(), "stratum": strata})
