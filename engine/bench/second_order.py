"""What second-order effects of all neurons cost: vectors of one layer, scores of all layers, one prompt of a batch.

The shape is GPT-2 small's, random weights; layer 9 of 12, 3,072 neurons, 64 tokens. What is timed begins with a
recorded pass, whose own time is told beside it.

    vectors   codes, and their products with the maps, which are weights alone and made once
    fold      the codes alone, in each form that `kernels/second_order_fold` has (fused ones on a GPU)
    scores    the walk down the frozen pass that scores every neuron of every layer

They are held against the method of the public code: for each later head, neurons' writes at all tokens are formed
[T, N, D], normed, taken through the head's values, its pattern and its output map, for all tokens of which one is read.
That is timed for one head of one prompt and multiplied.

Operations counted are products that no order of work avoids: of the scores 2 T D (N + G K) a layer above which heads
stand (N of those below the last alone).
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from causeway.engine.bench.clock import now
from causeway.engine.bench.gemm import gemm_rate
from causeway.engine.bench.run import RunShape
from causeway.engine.frozen.factored import effect_codes, effect_maps, effect_vectors
from causeway.engine.frozen.neurons import ACTIVATIONS, STREAMS, neuron_effects
from causeway.engine.frozen.pullback import logit_targets
from causeway.engine.frozen.record import FrozenRecord, record_rows
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.transformer import Transformer, layer
from causeway.engine.precision import full_precision
from causeway.kernels.second_order_fold import Implementation, second_order_fold

REFERENCE_HEADS = 2


@dataclasses.dataclass(frozen=True)
class SecondOrderShape:
    """What is run; a small vocabulary, since logits are no part of what is timed."""

    prompts: int = 16
    tokens: int = 64
    model: RunShape = dataclasses.field(default_factory=lambda: RunShape(vocab=5000))
    layer: int = 9

    def inputs(self) -> tuple[Array, Array]:
        """Random prompts of one length, and their lengths."""
        tokens = np.random.default_rng(0).integers(0, self.model.vocab, (self.prompts, self.tokens))
        return jnp.asarray(tokens, jnp.int32), jnp.full(self.prompts, self.tokens)


def scores_flops(config: ModelConfig, tokens: int) -> int:
    """Operations of one prompt's scores on one direction."""
    values = config.num_kv_heads * config.head_dim
    return 2 * tokens * config.d_model * (config.d_ff + values) * (config.num_layers - 1)


def measure_second_order(shape: SecondOrderShape, repeats: int) -> dict[str, float]:
    """Milliseconds of CPU a prompt, and the speed-up over the materialising method.

    Raises:
        ArithmeticError: the two methods disagree by more than 1e-5 of the largest coordinate.
    """
    transformer = Transformer(shape.model.config, Numerics(), rngs=nnx.Rngs(0))
    tokens, lengths = shape.inputs()
    config, last = transformer.config, lengths - 1
    record = _record(transformer, tokens, lengths)
    at, maps = shape.layer, _maps(transformer, shape.layer)
    direction = jnp.asarray(np.random.default_rng(1).standard_normal((1, config.d_model)), jnp.float32)

    def milliseconds(work: Callable[[], Any], count: int = shape.prompts) -> float:
        jax.block_until_ready(work())
        times = []
        for _ in range(repeats):
            start = now()
            jax.block_until_ready(work())
            times.append(now() - start)
        return 1e3 * min(times) / count

    vectors = milliseconds(lambda: _vectors(record, maps, last, at))
    scores = milliseconds(lambda: _scores(transformer, record, direction, last))
    one = jax.tree.map(lambda array: array[0], record)
    heads = config.num_heads * (config.num_layers - 1 - at)
    some = range(REFERENCE_HEADS)
    reference = milliseconds(lambda: [_materialised(transformer, one, head, at) for head in some], 1)
    _check(transformer, record, maps, last, at)
    # A fused form that is interpreted says nothing of its speed.
    forms: list[Implementation] = ["xla"] if jax.default_backend() == "cpu" else ["xla", "pallas"]
    folds = {f"fold_{form}_ms_per_prompt": milliseconds(partial(_fold, record, last, at, form)) for form in forms}
    rate = gemm_rate(shape.prompts * shape.tokens, config.d_model, config.d_ff)
    return {
        "record_ms_per_prompt": milliseconds(lambda: _record(transformer, tokens, lengths)),
        "vector_ms_per_prompt": vectors,
        "scores_ms_per_prompt": scores,
        **folds,
        "materialising_ms_per_prompt": reference * heads / REFERENCE_HEADS,
        "speedup_over_materialising": reference * heads / REFERENCE_HEADS / vectors,
        "gemm_gflops": rate / 1e9,
        "gemm_fraction": scores_flops(config, shape.tokens) / (1e-3 * scores) / rate,
    }


@jax.jit
@full_precision
def _record(transformer: Transformer, tokens: Array, lengths: Array) -> FrozenRecord:
    return record_rows(transformer, tokens, lengths, STREAMS, None)


@partial(jax.jit, static_argnames="at")
@full_precision
def _maps(transformer: Transformer, at: int) -> Float[Array, "N K D"]:
    return effect_maps(transformer, at, jnp.arange(transformer.config.d_ff))


@partial(jax.jit, static_argnames="at")
@full_precision
def _vectors(record: FrozenRecord, maps: Float[Array, "N K D"], last: Array, at: int) -> Float[Array, "N B D"]:
    return effect_vectors(effect_codes(record, at, jnp.arange(maps.shape[0]), last), maps)


@jax.jit
@full_precision
def _scores(transformer: Transformer, record: FrozenRecord, direction: Array, last: Array) -> Float[Array, "B L R N"]:
    def of_prompt(own: FrozenRecord, position: Array) -> Array:
        targets = logit_targets(transformer, own, direction, position)
        return jnp.asarray(neuron_effects(transformer, own, targets, orders=1).neurons)[:, 1]

    return jax.vmap(of_prompt)(record, last)


@partial(jax.jit, static_argnames=("at", "form"))
@full_precision
def _fold(record: FrozenRecord, last: Array, at: int, form: Implementation) -> Float[Array, "B N K"]:
    activations, scale = record.streams[ACTIVATIONS][:, at], record.attn_scale[:, at + 1 :]
    return second_order_fold(record.pattern[:, at + 1 :], last, scale, activations, implementation=form)


@partial(jax.jit, static_argnames=("head", "at"))
@full_precision
def _materialised(transformer: Transformer, record: FrozenRecord, head: int, at: int) -> Float[Array, "N D"]:
    """The effects of a layer's neurons through one head of the next, as the public code forms them."""
    norm, position = transformer.final_norm, record.pattern.shape[-1] - 1
    down = layer(transformer.blocks, at).mlp.down[...]
    block = layer(transformer.blocks, at + 1)
    writes = record.streams[ACTIVATIONS][at][:, :, None] * down
    scale = record.attn_scale[at + 1][:, None, None]
    normed = block.attn_norm.centre(writes) * scale * block.attn_norm.multiplier()
    group = head * transformer.config.num_kv_heads // transformer.config.num_heads
    values = jnp.einsum("tnd,dk->tnk", normed, block.attention.value[:, group])
    mixed = jnp.einsum("ts,snk->tnk", record.pattern[at + 1, head], values)
    out = jnp.einsum("tnk,kd->tnd", mixed, block.attention.output[...][head])[position]
    return jnp.asarray(norm.centre(out) * norm.multiplier() * record.final_scale[position])


def _check(transformer: Transformer, record: FrozenRecord, maps: Array, last: Array, at: int) -> None:
    """Hold the factored effects of the first prompt through the first heads against the materialised ones."""
    codes = effect_codes(record, at, jnp.arange(maps.shape[0]), last)[0]
    one = jax.tree.map(lambda array: array[0], record)
    for head in range(REFERENCE_HEADS):
        wanted = np.asarray(_materialised(transformer, one, head, at))
        found = np.asarray(codes[:, head, None] * maps[:, head])
        if np.abs(found - wanted).max() > 1e-5 * np.abs(wanted).max():
            raise ArithmeticError(f"second_order: head {head} differs by {np.abs(found - wanted).max():g}")
