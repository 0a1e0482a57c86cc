"""Generation and exact outcomes at the size of the half-million-trial study, on Llama-3.1-8B.

512 rollouts of one 300-token prompt, each with a patch of its own, JumpReLU dictionaries of 32,768 features on the
stream after all layers but the last, 90 features of each recorded; a segment of 32 tokens after an earlier one of 32.
And 2,048 rows of one-token answers that patch the same layer, which is the lowest, so that all layers run.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from causeway.engine.bench.compile.workload import (
    FAST,
    WEIGHT_BYTES,
    Needed,
    Workload,
    abstract_dictionary,
    attention_operations,
    block_parameters,
    cache_bytes,
    integers,
    llama_8b,
    shape,
)
from causeway.engine.dictionary.dictionary import DictionaryConfig
from causeway.engine.intervention.edits import Edit, no_edit
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.cache import empty_segment, prefill
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.decode import Own, Rows, Shared, decode_segment
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.transformer import abstract_transformer
from causeway.engine.model.unrolled import unrolled
from causeway.engine.outcome.exact import Background, CleanTree, Nodes, edited_answers

ROLLOUTS, SCORED = 512, 2048
PROMPT, SEGMENT = 300, 32
FEATURES, RECORDED = 32768, 90


def decode_8b(layers: int) -> Workload:
    """One segment of rollouts; a trip is one token of every row."""
    config = llama_8b(layers)
    transformer = abstract_transformer(config, FAST)
    tapped = tuple(range(max(1, layers - 1)))
    dictionary = abstract_dictionary(DictionaryConfig("jumprelu", tapped), config.d_model, FEATURES)
    spec = TapSpec("resid_post", "selected", tapped, RECORDED)
    tap = jax.eval_shape(lambda d: bind_tap(spec, d, np.tile(np.arange(RECORDED), (len(tapped), 1))), dictionary)
    layers_alone, prefix = jax.eval_shape(
        lambda *given: (unrolled(given[0]), prefill(*given).unrolled()),
        transformer, integers(bucket_width(PROMPT - 1)), integers(),
    )  # fmt: skip
    shared = Shared(layers_alone, dictionary, prefix, (tap,), integers(), integers())
    ids = integers(ROLLOUTS)
    rows = Rows(ids, shape(ROLLOUTS, dtype=bool), shape(ROLLOUTS, 2, dtype=jnp.uint32), ids)
    past = jax.eval_shape(lambda t: empty_segment(t, ROLLOUTS, SEGMENT), transformer)
    own = Own(rows, (_edits(ROLLOUTS),), (past,), integers(SEGMENT, ROLLOUTS))
    function = partial(decode_segment, length=SEGMENT, sampling=Sampling(0.7, top_p=0.9), recomputed=False)
    needed = _token(config, len(tapped))
    return Workload(function, (shared, own), SEGMENT, SEGMENT * ROLLOUTS, "tokens", needed, "bfloat16")


def _token(config: ModelConfig, tapped: int) -> Needed:
    """Of one token of every row: each weight once, the prefix once, half of its own segment on average."""
    layers, own = config.num_layers, SEGMENT + SEGMENT / 2
    parameters = layers * block_parameters(config) + config.d_model * (config.vocab_size + tapped * RECORDED)
    cache = layers * (cache_bytes(config, PROMPT, WEIGHT_BYTES) + ROLLOUTS * cache_bytes(config, own, WEIGHT_BYTES))
    records = 4 * ROLLOUTS * tapped * RECORDED
    operations = 2 * parameters + layers * attention_operations(config, PROMPT + own)
    return Needed(WEIGHT_BYTES * parameters + cache + records, ROLLOUTS * operations)


def exact_8b(layers: int) -> Workload:
    """Exact outcomes of rows that edit the lowest layer; the trip is all of it, each layer with its own arrays."""
    config = llama_8b(layers)
    transformer = abstract_transformer(config, FAST)
    dictionary = abstract_dictionary(DictionaryConfig("jumprelu", tuple(range(layers))), config.d_model, FEATURES)
    prefix = jax.eval_shape(prefill, transformer, integers(bucket_width(PROMPT - 1)), integers())
    nodes = Nodes(integers(1), integers(1), shape(1, 1, dtype=bool), integers(2, 2))
    streams = shape(layers + 1, 1, config.d_model, dtype=jnp.bfloat16)
    clean = CleanTree(prefix, nodes, streams, shape(2))
    own = ((_edits(SCORED),), integers())
    stream = 2 * SCORED * config.d_model * WEIGHT_BYTES
    layer = WEIGHT_BYTES * block_parameters(config) + cache_bytes(config, PROMPT, WEIGHT_BYTES) + stream
    operations = 2 * block_parameters(config) + attention_operations(config, PROMPT)
    ends = config.vocab_size * config.d_model
    needed = Needed(layers * layer + WEIGHT_BYTES * ends, SCORED * (layers * operations + 2 * ends))
    arguments = (Background(jax.eval_shape(unrolled, transformer), dictionary, clean), own)
    return Workload(edited_answers, arguments, layers, SCORED, "scores", needed, "bfloat16")


def _edits(rows: int) -> Edit:
    return jax.eval_shape(lambda: jax.tree.map(jnp.asarray, no_edit(rows)))
