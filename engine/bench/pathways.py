"""How fast gradient discovery is: all features of all lower layers on many targets, against one autograd call each.

The dear case is measured: total derivatives and a planned change of every feature, so that each target reads all
features of each lower layer at every position. Random weights, SAEs of the stream after every block. Times are process
times of `Discovery.table` from tokens to rows (compilation apart), each prompt's the best of some repetitions.

The reference differentiates a target's pre-activation on a prompt by one call of jax.grad, with a program compiled for
its layer that runs no block above it, reads all features and ranks them; it is timed on one target a layer.

Operations counted are those of matrix products that cannot be avoided: for each target of layer l, attention's keys and
values of its own block, and the l - 1 blocks and l layers of features below it, over T positions and the T (T + 1) / 2
pairs of them that see each other:

    2 T D 2 G K + (l - 1) (2 T D (2 H K + 2 G K + 3 N) + 4 T (T + 1) H K) + l 2 T D F
"""

import dataclasses
import functools
import resource
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from flax import nnx
from jaxtyping import Array, Float, Int

from causeway.engine.analyses.pathways.discovery_requests import discovery
from causeway.engine.analyses.pathways.targets import CHUNK_TOKENS
from causeway.engine.bench.clock import now
from causeway.engine.bench.gemm import gemm_rate
from causeway.engine.bench.widths import Widths
from causeway.engine.calls.run import run
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.model.attention import attend_sequence, causal_mask
from causeway.engine.model.block import apply_block
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import Transformer
from causeway.engine.model.transformer import layer as take_layer
from causeway.engine.precision import full_precision

TOLERANCE = 1e-5
REFERENCE_CALLS = 5


@dataclasses.dataclass(frozen=True)
class PathwaysShape(Widths):
    """What is run; the default is the reference shape."""

    active: int = 35
    tokens: int = 64
    targets: int = 256
    prompts: int = 8
    top: int = 25

    @property
    def config(self) -> ModelConfig:
        """The model's."""
        return self.model_config("llama", max(self.tokens, 64))

    def spread(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Layers and features of so many targets, as many of each layer."""
        layers = np.arange(count) % self.layers
        return layers, np.random.default_rng(0).permutation(self.features)[:count]


def make_inputs(shape: PathwaysShape) -> tuple[Model, Dictionary, list[list[int]], Float[np.ndarray, "L F"]]:
    """Random weights, SAEs, prompts and planned values."""
    transformer = Transformer(shape.config, Numerics(), rngs=nnx.Rngs(0))
    keys = jax.random.split(jax.random.key(1), 2)
    count, width, features = shape.layers, shape.d_model, shape.features
    saes = Dictionary(
        DictionaryConfig("topk", tuple(range(count)), k=shape.active),
        W_enc=jax.random.normal(keys[0], (count, width, features)) * width**-0.5,
        b_enc=jnp.zeros((count, features)),
        W_dec=0.05 * jax.random.normal(keys[1], (count, features, width)),
        b_dec=jnp.zeros((count, width)),
    )
    rng = np.random.default_rng(0)
    prompts = rng.integers(0, shape.vocab, (shape.prompts, shape.tokens)).tolist()
    return Model(transformer, None, "random", "", prepend_bos=False), saes, prompts, rng.random((count, features))


def measure_pathways(shape: PathwaysShape, repeats: int) -> dict[str, float]:
    """Figures of the dear case, and process times of the cheaper ones.

    Raises:
        ArithmeticError: effects differ from those of the reference.
    """
    model, saes, prompts, values = make_inputs(shape)
    timed = functools.partial(_timed, model, saes, prompts)
    rate = gemm_rate(CHUNK_TOKENS, shape.d_model, shape.d_model)
    planned: dict[str, Any] = {"change": values, "top": shape.top}
    seconds, table = timed(shape.spread(shape.targets), planned, repeats)
    peak = _peak_gb()
    discovery(model, saes, prompts[:1], shape.spread(4 * shape.targets), scope="all", **planned).table()
    grown = _peak_gb()
    reference = _reference(shape, model, saes, prompts[0], values, table)
    rate = max(rate, gemm_rate(CHUNK_TOKENS, shape.d_model, shape.d_model))
    figures = {
        "cpu_seconds": seconds, "autograd_cpu_seconds": reference, "speedup_over_autograd": reference / seconds,
        "gemm_gflops": rate / 1e9, "gemm_fraction": needed_flops(shape) / seconds / rate,
        "peak_rss_gb": peak, "peak_rss_gb_four_times_the_targets": grown,
    }  # fmt: skip
    cheaper: dict[str, dict[str, Any]] = {
        "total_active": {}, "direct_active": {"derivative": "direct"},
        "direct_planned": {"derivative": "direct", "change": values},
    }  # fmt: skip
    for name, settings in cheaper.items():
        figures[f"cpu_seconds_{name}"] = timed(shape.spread(shape.targets), settings | {"top": shape.top}, 1)[0]
    return figures


def needed_flops(shape: PathwaysShape) -> float:
    """Operations of all targets and prompts that no order of work avoids (see the module's docstring)."""
    tokens, width, head = shape.tokens, shape.d_model, shape.d_model // shape.heads
    layer = shape.spread(shape.targets)[0].astype(np.float64)
    keys, queries = 2 * shape.kv_heads * head, 2 * shape.heads * head
    block = 2 * tokens * width * (queries + keys + 3 * shape.d_ff) + 4 * tokens * (tokens + 1) * shape.heads * head
    below = np.maximum(layer - 1, 0) * block + layer * 2 * tokens * width * shape.features
    return float(shape.prompts * (below + (layer > 0) * 2 * tokens * width * keys).sum())


def _timed(
    model: Model, saes: Dictionary, prompts: list[list[int]], targets: tuple[np.ndarray, np.ndarray],
    settings: dict[str, Any], times: int,
) -> tuple[float, pa.Table]:  # fmt: skip
    """Process time of all prompts, each one's least after a run that compiles, and the first prompt's table."""

    def once(prompt: list[int]) -> tuple[float, pa.Table]:
        start = now()
        table = discovery(model, saes, [prompt], targets, scope="all", **settings).table()
        return now() - start, table

    table = once(prompts[0])[1]
    return sum(min(once(prompt)[0] for _ in range(times)) for prompt in prompts), table


def _reference(
    shape: PathwaysShape, model: Model, saes: Dictionary, prompt: list[int], values: Float[np.ndarray, "L F"],
    table: pa.Table,
) -> float:  # fmt: skip
    """Process time of one autograd call for each target and prompt, from those of one target a layer.

    Raises:
        ArithmeticError: effects differ from those of the table.
    """
    layers, features = shape.spread(shape.targets)
    streams = run(model, [prompt], taps=["resid_post"])
    f = [saes.encode_at(at, jnp.asarray(streams["resid_post", at][0])) for at in range(shape.layers)]
    change, tokens = jnp.asarray(values, jnp.float32)[:, None] - jnp.stack(f), jnp.asarray(prompt)
    total = 0.0
    for layer in range(1, shape.layers):
        target = int(features[layers == layer][0])
        call = functools.partial(_autograd, model.transformer, saes, tokens, change, target, layer=layer)
        _check(layer, target, np.asarray(call(top=0)), table)
        total += _least(functools.partial(call, top=shape.top)) * int((layers == layer).sum()) * shape.prompts
    return total


def _least(call: Callable[[], Array]) -> float:
    """Least process time of some calls after one that compiles."""
    jax.block_until_ready(call())
    seconds = []
    for _ in range(REFERENCE_CALLS):
        start = now()
        jax.block_until_ready(call())
        seconds.append(now() - start)
    return min(seconds)


@functools.partial(jax.jit, static_argnames=("layer", "top"))
@full_precision
def _autograd(
    transformer: Transformer, saes: Dictionary, tokens: Int[Array, " T"], change: Float[Array, "L T F"],
    feature: Int[Array, ""], layer: int, top: int,
) -> Float[Array, "l k"] | Float[Array, "l T F"]:  # fmt: skip
    """Effects on one target by jax.grad: the largest of each layer below, or all where top is 0."""
    config, numerics, positions = transformer.config, transformer.numerics, jnp.arange(len(tokens))[None]
    mask = causal_mask(len(tokens), None)

    def pre_activation(pushes: Float[Array, "l T D"]) -> Float[Array, ""]:
        x = transformer.embed(tokens[None], positions)

        def attend(q: Array, k: Array, v: Array) -> Array:
            return attend_sequence(q, k, v, mask, config, numerics)

        for index in range(layer + 1):
            block = take_layer(transformer.blocks, index)
            x = apply_block(block, index, x, positions, config, attend)
            x = x + pushes[index] if index < layer else x
        return x[0, -1] @ saes.W_enc[...][layer, :, feature]

    gradient = jax.grad(pre_activation)(jnp.zeros((layer, len(tokens), config.d_model)))
    effects = jnp.einsum("ltd,lfd->ltf", gradient, saes.W_dec[...][:layer]) * change[:layer]
    return effects if not top else jax.lax.top_k(jnp.abs(effects).reshape(layer, -1), top)[0]


def _check(layer: int, feature: int, effects: Float[np.ndarray, "l T F"], table: pa.Table) -> None:
    """Hold the candidates of a target against all effects on it."""
    chosen = pc.equal(table["target_layer"], layer), pc.equal(table["target_feature"], feature)
    own = table.filter(pc.and_(*chosen))
    below, position, source = (own[f"source_{name}"].to_numpy() for name in ("layer", "position", "feature"))
    found, wanted = own["effect"].to_numpy(), effects[below, position, source]
    for at, there in enumerate(effects):
        room = TOLERANCE * np.abs(there).max()
        here = below == at
        least = -np.partition(-np.abs(there).ravel(), here.sum() - 1)[here.sum() - 1]
        wrong = np.abs(found[here] - wanted[here]).max()
        if wrong > room or np.abs(found[here]).min() < least - room:
            raise ArithmeticError(f"pathways: effects of layer {at} on {layer}:{feature} differ by {wrong:g}")


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
