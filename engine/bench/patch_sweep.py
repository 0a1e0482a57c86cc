"""How fast rollouts with a different patch in every row are, against the arithmetic they need.

The reference shape is a small LLaMA with one JumpReLU SAE a layer, random weights: nothing depends on their values.
What is timed is what a sweep does: prefix, edits, sampling with top-p and per-row noise, records delivered to host
memory. The store is timed apart. Operations counted are those of matrix products that cannot be avoided:

    per token    2 (block parameters + D V), plus 2 L D F where all features are recorded
"""

import dataclasses
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from flax import nnx

from causeway.engine.bench.gemm import gemm_rate
from causeway.engine.devices import RowParallel, compilations
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.intervention.edits import FOREVER, Edit, EditSpec
from causeway.engine.intervention.taps import BoundTap, TapSpec, bind_tap
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.decode import decode_segment
from causeway.engine.model.generate import Generation, Layout, generate_rows
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.transformer import Transformer
from causeway.engine.sweep import ArraySpec, Plan, Store, UnitResult
from causeway.engine.sweep import Layout as StoreLayout


@dataclasses.dataclass(frozen=True)
class Shape:
    """What is run; the default is the reference shape."""

    layers: int = 8
    d_model: int = 512
    heads: int = 8
    kv_heads: int = 4
    d_ff: int = 1408
    vocab: int = 4096
    features: int = 4096
    prompt: int = 64
    tokens: int = 32
    selected: int = 128
    rows: int = 128
    segments: tuple[int, ...] = (16, 16)
    compute: str = "float32"

    @property
    def config(self) -> ModelConfig:
        """The model's."""
        return ModelConfig(
            "llama", self.layers, self.d_model, self.heads, self.kv_heads, self.d_model // self.heads, self.d_ff,
            self.vocab, max_position=self.prompt + self.tokens,
        )  # fmt: skip

    @property
    def token_flops(self) -> int:
        """Operations of one token without recording."""
        c = self.config
        attention = 2 * c.d_model * c.head_dim * (c.num_heads + c.num_kv_heads)
        return 2 * (self.layers * (attention + 3 * c.d_model * c.d_ff) + c.d_model * c.vocab_size)

    def trial_flops(self, features: int) -> int:
        """Operations of a trial that records this many features a layer."""
        return self.tokens * (self.token_flops + 2 * self.layers * self.d_model * features)


def make_inputs(shape: Shape) -> tuple[Transformer, Dictionary, np.ndarray]:
    """Random weights, dictionaries and prompt."""
    transformer = Transformer(shape.config, Numerics(compute=shape.compute), rngs=nnx.Rngs(0))
    keys = jax.random.split(jax.random.key(1), 2)
    wide = (shape.layers, shape.d_model, shape.features)
    dictionary = Dictionary(
        DictionaryConfig("jumprelu", tuple(range(shape.layers))),
        W_enc=0.05 * jax.random.normal(keys[0], wide),
        b_enc=jnp.zeros(wide[::2]),
        W_dec=0.05 * jax.random.normal(keys[1], (wide[0], wide[2], wide[1])),
        b_dec=jnp.zeros(wide[:2]),
        threshold=jnp.full(wide[::2], 0.01),
    )
    prompt = np.random.default_rng(0).integers(0, shape.vocab, shape.prompt)
    return transformer, dictionary, prompt


def patched_rows(shape: Shape, count: int) -> Edit:
    """Rows that each set another feature of the middle layer to 8 from the last prompt token on."""
    ids = (np.arange(count, dtype=np.int32) % shape.features)[:, None]
    like = np.zeros_like(ids)
    values = np.zeros(ids.shape, np.float32)
    return Edit(
        layer=like + shape.layers // 2, feature=ids, writer=ids, start=like + shape.prompt - 1, stop=like + FOREVER,
        scale=values, shift=values + 8,
    )  # fmt: skip


def measure(shape: Shape, parallel: RowParallel, repeats: int = 2) -> dict[str, float]:
    """All figures; see the module's text for what they mean."""
    transformer, dictionary, prompt = make_inputs(shape)
    transformer, dictionary = parallel.replicate((transformer, dictionary))
    layers, count = tuple(range(shape.layers)), shape.rows * parallel.count
    ids = jnp.tile(jnp.arange(shape.selected), (shape.layers, 1))
    few = TapSpec("resid_post", "selected", layers, shape.selected)
    kinds = {
        "selected": (shape.selected, bind_tap(few, dictionary, ids)),
        "all_features": (shape.features, bind_tap(TapSpec("resid_post", "all", layers), dictionary)),
    }
    figures: dict[str, float] = {}
    for name, (features, tap) in kinds.items():

        def trials(tap: BoundTap = tap) -> Generation:
            return generate_rows(
                transformer, prompt, trials=np.arange(count), layout=Layout(shape.rows, shape.segments),
                sampling=Sampling(0.7, top_p=0.9), seed=0, prompt_id=0, edit_spec=EditSpec(),
                edit=patched_rows(shape, count), dictionary=dictionary, taps=(tap,), parallel=parallel,
            )  # fmt: skip

        figures |= _timed(name, shape, features, count, trials, repeats)
    figures["peak_rss_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    figures["store_ms_per_trial"] = _store(shape, count)
    return figures


def _timed(
    name: str, shape: Shape, features: int, count: int, trials: Callable[[], Generation], repeats: int
) -> dict[str, float]:
    """Compile, then time; the rate of matrix products is taken before and after, as a machine's clock drifts."""
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    before, start = compilations(decode_segment), time.perf_counter()
    trials()
    first, compiled = time.perf_counter() - start, compilations(decode_segment) - before
    rate = gemm_rate(shape.rows)
    start = clock()
    for _ in range(repeats):
        trials()
    seconds = (clock() - start) / repeats
    rate = (rate + gemm_rate(shape.rows)) / 2
    achieved = count * shape.trial_flops(features) / seconds
    return {
        f"trials_per_cpu_second_{name}": count / seconds,
        f"tokens_per_second_{name}": count * shape.tokens / seconds,
        f"gflops_{name}": achieved / 1e9,
        f"gemm_gflops_{name}": rate / 1e9,
        # The last one measured, all features, stands for the benchmark.
        "gemm_fraction": achieved / rate,
        f"gemm_fraction_{name}": achieved / rate,
        f"trials_per_cpu_second_{name}_at_140_gflops": count / seconds * 140e9 / rate,
        f"compile_seconds_{name}": first - seconds,
        "compilations": compiled,
    }


def _store(shape: Shape, count: int) -> float:
    """Milliseconds of process time to commit one trial's selected records (sparse, as feature values are)."""
    spec = ArraySpec((shape.tokens, shape.layers, shape.selected), "float32", ("step", "layer", "feature"))
    plan = Plan("bench", {}, {}, (count,), StoreLayout(pa.schema([("trial", pa.int32())]), arrays={"values": spec}))
    rng = np.random.default_rng(0)
    values = np.maximum(rng.standard_normal((count, *spec.row_shape), np.float32) - 1, 0)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), plan)
        with store.writing():
            start = time.process_time()
            store.commit(0, UnitResult({"trial": np.arange(count, dtype=np.int32)}, {"values": values}), {})
            return (time.process_time() - start) / count * 1e3
