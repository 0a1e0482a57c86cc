"""Attribution, interventions and second-order effects of Qwen3-4B with transcoders of 163,840 features, and pathways of
Llama-3.1-8B.

A prompt of 64 tokens with 64 active features a layer and token; 32 rows of an attribution graph, 128 interventions,
batches of prompts as `frozen.batches` makes them, and targets of pathways as many as an accelerator takes at a time.
"""

from functools import partial
from typing import Any

import jax

from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.intervene.clean_run import BATCH_TOKENS
from causeway.engine.analyses.intervene.propagate import Clean, propagate
from causeway.engine.analyses.pathways.programs import Reading, Shared, pulled
from causeway.engine.analyses.pathways.prompts import Recorded
from causeway.engine.analyses.pathways.targets import ACCELERATOR_TOKENS
from causeway.engine.analyses.second_order.scores import ScoresJob
from causeway.engine.bench.compile.workload import (
    EXACT,
    WEIGHT_BYTES,
    Needed,
    Workload,
    abstract_blocks,
    abstract_dictionary,
    attention_operations,
    block_parameters,
    integers,
    llama_8b,
    qwen3_4b,
    shape,
)
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.frozen.batches import batch_rows
from causeway.engine.frozen.pullback import Frozen, Targets, pullback
from causeway.engine.frozen.record import FrozenRecord, record_pass
from causeway.engine.frozen.sources import Sources, fit_in_memory, gather_sources
from causeway.engine.intervention.edits import Edit, EditSpec
from causeway.engine.intervention.held import Held
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.exact_parts import PARTS
from causeway.engine.model.transformer import Transformer

TOKENS, ACTIVE = 64, 64
FEATURES, SAE_FEATURES = 163840, 32768
ITEM = 4  # bytes of what is computed in float32


def attribute_4b(layers: int) -> Workload:
    """One batch of rows from the top layer down over all positions; a trip is one layer."""
    config, transformer, transcoders, record = _qwen(layers)
    plan = AttributionPlan()
    ids, values = integers(layers, TOKENS, ACTIVE), shape(layers, TOKENS, ACTIVE)

    def gathered(transcoders: Dictionary, *found: Any) -> Sources:
        hold = fit_in_memory(transcoders, ids)
        return gather_sources(transcoders, *found, first=plan.ignore_first, cut=False, hold=hold)

    frozen = Frozen(transformer, transcoders, record, jax.eval_shape(gathered, transcoders, record, ids, values))
    targets = Targets(integers(plan.rows), integers(plan.rows), shape(plan.rows, config.d_model))
    heads = config.d_model * config.head_dim * (config.num_heads + config.num_kv_heads)
    positions = plan.rows * TOKENS
    operations = positions * (
        2 * heads + 2 * TOKENS * config.num_heads * config.head_dim + 2 * (ACTIVE + 1) * config.d_model
    )
    writers = WEIGHT_BYTES * TOKENS * ACTIVE * config.d_model
    cotangents = 2 * ITEM * positions * config.d_model + ITEM * positions * ACTIVE
    needed = Needed(WEIGHT_BYTES * heads + writers + cotangents + ITEM * config.num_heads * TOKENS**2, operations)
    function = partial(pullback, width=TOKENS, cut=False, first=plan.ignore_first)
    return Workload(function, (frozen, targets), layers, plan.rows, "rows", needed, "float32")


def intervene_4b(layers: int) -> Workload:
    """Interventions that edit the lowest layer, everything live; the trip is all of it, each layer with its arrays."""
    config, transformer, transcoders, record = _qwen(layers)
    rows = BATCH_TOKENS // TOKENS
    clean = Clean(transformer, transcoders, record, Held({}, {}, None), integers(1))
    numbers, values = integers(rows, 1), shape(rows, 1)
    edit = Edit(
        numbers, numbers, numbers, numbers, values, values, numbers, bounds=(values, values),
        spec=EditSpec("mlp_out", pinned=True, roundings=64),
    )  # fmt: skip
    stream = 2 * ITEM * rows * TOKENS * config.d_model
    ends = config.vocab_size * config.d_model
    operations = rows * TOKENS * (2 * block_parameters(config) + attention_operations(config, TOKENS / 2))
    moved = WEIGHT_BYTES * block_parameters(config) + stream
    needed = Needed(layers * moved + WEIGHT_BYTES * ends, layers * operations + 2 * rows * ends)
    own = ((edit,), integers())
    return Workload(
        partial(propagate, keep=False), (clean, own), layers, rows, "interventions", needed, "bfloat16", PARTS
    )


def second_order_4b(layers: int) -> Workload:
    """Scores of all neurons on a direction, of a batch of prompts; a trip is one layer of their recorded pass."""
    config = qwen3_4b(layers)
    rows = batch_rows(config, TOKENS)
    own = (integers(rows, TOKENS), integers(rows), integers(rows), shape(rows, 1, config.d_model))
    function = partial(ScoresJob.program, layers=tuple(range(layers)), orders=1, aimed=None)
    recorded = rows * TOKENS * (config.num_heads * TOKENS + config.d_ff + 3 * config.d_model) * ITEM
    needed = Needed(
        WEIGHT_BYTES * block_parameters(config) + recorded,
        rows * TOKENS * (2 * block_parameters(config) + attention_operations(config, TOKENS / 2)),
    )
    arguments = ((abstract_blocks(config, EXACT), None), own)
    return Workload(function, arguments, layers, rows, "prompts", needed, "bfloat16", PARTS)


def pathways_8b(layers: int) -> Workload:
    """Gradients of targets of the top layer by active features of all layers below; a trip is one layer."""
    config = llama_8b(layers)
    transformer = abstract_blocks(config, EXACT)
    saes = abstract_dictionary(DictionaryConfig("jumprelu", tuple(range(layers))), config.d_model, SAE_FEATURES)
    rows = ACCELERATOR_TOKENS // TOKENS
    slots = (layers, TOKENS, ACTIVE)
    prompt = Recorded(
        shape(layers, TOKENS, config.d_model), integers(), integers(*slots), shape(*slots),
        integers(layers, TOKENS * ACTIVE), shape(layers, TOKENS), shape(TOKENS, dtype=bool),
    )  # fmt: skip
    own = (integers(), integers(rows), None)
    positions = rows * TOKENS
    operations = positions * (
        2 * block_parameters(config) + 2 * attention_operations(config, TOKENS / 2) + 2 * ACTIVE * config.d_model
    )
    cotangents = 2 * ITEM * positions * config.d_model
    writers = WEIGHT_BYTES * TOKENS * ACTIVE * config.d_model
    needed = Needed(WEIGHT_BYTES * block_parameters(config) + cotangents + writers, operations)
    function = partial(pulled, reading=Reading("total", "each", 25))
    return Workload(
        function, (Shared(transformer, saes, prompt), own), layers - 1, rows, "targets", needed, "bfloat16", PARTS
    )


def _qwen(layers: int) -> tuple[ModelConfig, Transformer, Dictionary, FrozenRecord]:
    config = qwen3_4b(layers)
    transformer = abstract_blocks(config, EXACT)
    kind = DictionaryConfig("relu", tuple(range(layers)), "mlp_in", write_stream="mlp_out")
    transcoders = abstract_dictionary(kind, config.d_model, FEATURES)
    recorded = partial(record_pass, reads=("mlp_in", "mlp_out"))
    return config, transformer, transcoders, jax.eval_shape(recorded, transformer, integers(TOKENS), integers())
