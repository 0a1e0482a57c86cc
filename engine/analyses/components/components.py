"""Components of all chosen neurons, one layer after another, and what they come to together.

What is chosen on some prompts (mean effects, components, thresholds, best heads) is judged on the others: on all but
those of the split `train`, where the prompts have one beside others, else on a share of their groups.

Shapes: P prompts, M neurons of a layer, K codes, D model.
Cost: `neuron_components`, a chunk of neurons at a time. Memory: its chunk, and [M, D] vectors of a layer.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from causeway.engine.analyses.components.code_sweep import Codes, CodeSweep, codes_of
from causeway.engine.analyses.components.neuron_components import (
    BLOCK_BYTES,
    Chunk,
    chunk_found,
    chunk_neurons,
    maps_of,
)
from causeway.engine.choosing import TRAIN, by_split, divided
from causeway.engine.components import Components
from causeway.engine.frozen.factored import effect_vectors
from causeway.engine.precision import full_precision
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.sparse.largest_rows import check_rows

# Of the groups of prompts that have no split of their own.
HELD_OUT = 0.2
LARGEST = 100
FLOATS = (
    "mean_norm", "variance", "explained", "explained_held_out", "random_direction", "single_head", "gini",
    "participation_ratio", "mass_top_1", "mass_top_5", "mass_top_10", "threshold", "share_above",
    "published_held_out", "published_cosine",
)  # fmt: skip
SCHEMA = pa.schema([
    ("layer", pa.int32()), ("neuron", pa.int32()), ("varies", pa.bool_()), ("prompts", pa.int32()),
    ("held_out", pa.int32()), ("single_head_layer", pa.int32()), ("single_head_head", pa.int32()),
    *((name, pa.float64()) for name in FLOATS),
])  # fmt: skip
_vectors = jax.jit(full_precision(effect_vectors))


@dataclasses.dataclass(frozen=True)
class LayerComponents:
    """What was found in one layer.

    Attributes:
        components: mean effects and components. published: directions of the largest effects alone, [M, D]; 0 where
            nothing varies. largest: [M, k] sizes of the largest effects, ascending, so that the first is the threshold.
        table: a row a neuron.
    """

    components: Components
    published: Float[np.ndarray, "M D"]
    largest: Float[np.ndarray, "M k"]
    table: pa.Table


def chosen_prompts(records: Sequence[PromptRecord], share: float, seed: int) -> tuple[Bool[np.ndarray, " P"], str]:
    """The prompts that choose, and in words how they were told from those held out.

    Args:
        share: of the groups held out; 0 goes by the prompts' own split, where `train` is one of several.

    Raises:
        ValueError: nothing on one side.
    """
    if not share and by_split(records):
        return divided(records, 0.0, TRAIN), f"those of the split {TRAIN} choose"
    share = share or HELD_OUT
    return divided(records, share, seed=seed), f"{share:g} of the groups are held out, by seed {seed}"


def check_chosen(chosen: Bool[np.ndarray, " P"], k: int) -> None:
    """Refuse more largest effects than there are prompts to choose by.

    Raises:
        ValueError: naming both.
    """
    try:
        check_rows(k, int(chosen.sum()))
    except ValueError as error:
        raise ValueError(f"largest: {str(error).partition(': ')[2]}") from None


def found_layers(
    sweep: CodeSweep, codes: Codes, chosen: Bool[np.ndarray, " P"], k: int = LARGEST
) -> Iterator[LayerComponents]:
    """What is found in each layer of a sweep, in order.

    Args:
        codes: of the sweep. chosen: prompts that choose. k: largest effects of a neuron.
    """
    model = sweep.model
    for layer in sweep.neurons.layers:
        own, count = sweep.neurons.of(layer), codes_of(model.config, layer)
        size = chunk_neurons(len(chosen), count, model.config.d_model, k, model.numerics.accumulate_dtype.itemsize)
        chunks = []
        for start in range(0, len(own), size):
            part = slice(start, min(start + size, len(own)))
            maps = maps_of(model.transformer, layer, own[part])
            chunks.append(chunk_found(maps, codes.of(layer, part), chosen, k))
        found = Chunk.joined(chunks)
        components = Components(layer, own, found.mean, found.component, model.fingerprint)
        yield LayerComponents(components, found.published, found.largest, _table(components, found, chosen, sweep))


def _table(components: Components, found: Chunk, chosen: Bool[np.ndarray, " P"], sweep: CodeSweep) -> pa.Table:
    """A row a neuron."""
    count, heads = len(components.neuron), sweep.model.config.num_heads
    layer, head = np.divmod(found.columns["head"], heads)
    told = found.columns["varies"]
    columns: dict[str, Any] = {
        "layer": np.full(count, components.layer), "neuron": components.neuron, "varies": told,
        "prompts": np.full(count, chosen.sum()), "held_out": np.full(count, (~chosen).sum()),
        "single_head_layer": pa.array(layer + components.layer + 1, pa.int32(), mask=~told),
        "single_head_head": pa.array(head, pa.int32(), mask=~told),
    }  # fmt: skip
    for name in FLOATS:
        columns[name] = pa.array(found.columns[name].astype(np.float64), pa.float64(), from_pandas=True)
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in SCHEMA}, SCHEMA)


def explicit_effects(sweep: CodeSweep, codes: Codes, layer: int) -> Iterator[tuple[slice, Float[np.ndarray, "P m D"]]]:
    """Effects themselves, of a few neurons of a layer at a time and by place among them."""
    own, config = sweep.neurons.of(layer), sweep.model.config
    dtype = sweep.model.numerics.accumulate_dtype
    size = max(1, BLOCK_BYTES // (len(sweep.prompts) * (config.d_model + codes_of(config, layer)) * dtype.itemsize))
    for start in range(0, len(own), size):
        part = slice(start, min(start + size, len(own)))
        maps = maps_of(sweep.model.transformer, layer, own[part])
        yield part, np.moveaxis(np.asarray(_vectors(jnp.asarray(codes.of(layer, part)), maps)), 0, 1)


def all_neurons(tables: Sequence[pa.Table]) -> pa.Table:
    """All layers' rows, those of most variance first."""
    whole = pa.concat_tables(tables)
    return whole.take(np.argsort(-whole["variance"].to_numpy(), kind="stable"))
