"""How long an attribution graph takes, from tokens to graph, against the arithmetic it needs.

The reference shape is a small Qwen3 with one JumpReLU transcoder a layer, random weights, thresholds at the quantile
that leaves about 13,000 features active over 32 tokens; the numbers of active features decide the cost, not the
values. Everything a call does is timed: recorded pass, encode, rows, ranking, the graph; compilation is not.

Operations counted are those of matrix products that cannot be avoided. A row of a target at layer l, position c,
over the c + 1 positions and l layers it can reach:

    l (c + 1) (2 D K (H + G) + (c + 1) H K) + 2 D (sources it reads)
"""

import dataclasses
import resource
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.stats import norm

from causeway.engine.analyses.attribute.attribute import attribute
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.graph import AttributionGraph
from causeway.engine.bench.clock import now
from causeway.engine.bench.gemm import gemm_rate
from causeway.engine.bench.widths import Widths
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import Transformer


@dataclasses.dataclass(frozen=True)
class GraphShape(Widths):
    """What is run; the default is the reference shape."""

    layers: int = 12
    active: float = 0.0085
    tokens: int = 32
    nodes: int = 2048

    @property
    def config(self) -> ModelConfig:
        """The model's."""
        return self.model_config(
            "qwen3", max(self.tokens, 64), qk_norm=True, norm_eps=1e-6, rope_theta=1e6
        )  # fmt: skip

    @property
    def threshold(self) -> float:
        """Of every feature: an encoder column times a normed input is nearly a standard normal number."""
        return float(norm.isf(self.active))


def make_inputs(shape: GraphShape) -> tuple[Model, Dictionary, list[int]]:
    """Random weights, transcoders and prompt."""
    transformer = Transformer(shape.config, Numerics(), rngs=nnx.Rngs(0))
    keys = jax.random.split(jax.random.key(1), 2)
    wide, flat = (shape.layers, shape.d_model, shape.features), (shape.layers, shape.features)
    transcoders = Dictionary(
        DictionaryConfig("jumprelu", tuple(range(shape.layers)), "mlp_in", write_stream="mlp_out"),
        W_enc=jax.random.normal(keys[0], wide) * shape.d_model**-0.5,
        b_enc=jnp.zeros(flat),
        W_dec=0.05 * jax.random.normal(keys[1], (wide[0], wide[2], wide[1])),
        b_dec=jnp.zeros((shape.layers, shape.d_model)),
        threshold=jnp.full(flat, shape.threshold),
    )
    prompt = np.random.default_rng(0).integers(0, shape.vocab, shape.tokens).tolist()
    return Model(transformer, None, "random", "", prepend_bos=False), transcoders, prompt


def measure_attribution(shape: GraphShape, repeats: int, all_rows: bool) -> dict[str, float]:
    """CPU-seconds of a graph under the node budget, and of one with a row for every active feature."""
    model, transcoders, prompt = make_inputs(shape)

    def graph(nodes: int | None) -> AttributionGraph:
        return attribute(model, transcoders, prompt, plan=AttributionPlan(max_feature_nodes=nodes))

    seconds, made = _best(lambda: graph(shape.nodes), repeats)
    rate = gemm_rate(1024, shape.d_model, shape.d_model)
    figures = {
        "cpu_seconds": seconds,
        "active_features": float(made.active),
        "gemm_gflops": rate / 1e9,
        "gemm_fraction": row_flops(shape, made) / seconds / rate,
        "peak_rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    if all_rows:
        seconds, made = _best(lambda: graph(None), 1)
        figures |= {
            "cpu_seconds_all_rows": seconds,
            "gemm_fraction_all_rows": row_flops(shape, made) / seconds / rate,
            "peak_rss_gb_all_rows": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }
    return figures


def row_flops(shape: GraphShape, graph: AttributionGraph) -> float:
    """Operations of a graph's rows that no order of work avoids."""
    width = shape.d_model // shape.heads
    logits = np.full((len(graph.logits), 2), (shape.layers, shape.tokens - 1))
    layer, position = np.concatenate([graph.features[:, :2], logits]).T.astype(np.float64)
    seen = position + 1
    mixing = 2 * shape.d_model * width * (shape.heads + shape.kv_heads) + seen * shape.heads * width
    sources = 2 * shape.d_model * seen * layer * graph.active / (shape.layers * shape.tokens)
    return float((layer * seen * mixing + sources).sum())


def _best(work: Callable[[], AttributionGraph], repeats: int) -> tuple[float, AttributionGraph]:
    """Least process time of some repetitions after one that compiles."""
    made, times = work(), []
    for _ in range(repeats):
        start = now()
        made = work()
        times.append(now() - start)
    return min(times), made
