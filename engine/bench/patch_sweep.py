"""How fast rollouts with a different patch in every row are, against the arithmetic they need.

The reference shape is a small LLaMA with one JumpReLU SAE a layer, random weights: nothing depends on their values.
What is timed is what a sweep does: prefix, edits, sampling with top-p and per-row noise, records delivered to host
memory. The store is timed apart. Operations counted are those of matrix products that cannot be avoided:

    per token    2 (block parameters + D V), plus 2 L D F where all features are recorded

Of several devices each has that many rows; what they do in a second together is told beside it, of wall time.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from causeway.engine.bench.clock import now
from causeway.engine.bench.gemm import gemm_rate
from causeway.engine.bench.reference import Shape, make_inputs, patched_rows
from causeway.engine.devices import RowParallel, compilations
from causeway.engine.intervention.taps import BoundTap, TapSpec, bind_tap
from causeway.engine.model.decode import decode_segment
from causeway.engine.model.generate import generate_rows
from causeway.engine.model.rollouts import Generation
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout
from causeway.engine.outcome.answers import Answer, answer_tree
from causeway.engine.outcome.exact import Background, clean_tree, edited_answers, start_layer
from causeway.engine.sweep.layout import ArraySpec, UnitResult
from causeway.engine.sweep.layout import Layout as StoreLayout
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.store import Store


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
                sampling=Sampling(0.7, top_p=0.9), seed=0, prompt_id=0,
                edits=(patched_rows(shape, count),), dictionary=dictionary, taps=(tap,), parallel=parallel,
            )  # fmt: skip

        figures |= _timed(name, shape, features, trials, repeats, parallel)
    figures |= measure_exact(shape, parallel)
    figures["peak_rss_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    figures["store_ms_per_trial"] = _store(shape, count)
    return figures


def _timed(
    name: str, shape: Shape, features: int, trials: Callable[[], Generation], repeats: int, parallel: RowParallel
) -> dict[str, float]:
    """Compile, then time; the rate of matrix products is taken before and after, as a machine's clock drifts."""
    count = shape.rows * parallel.count
    before, start = compilations(decode_segment), time.perf_counter()
    trials()
    first, compiled = time.perf_counter() - start, compilations(decode_segment) - before
    # A sweep runs in memory that earlier runs have freed; after two more of them all of it is there.
    for _ in range(2):
        trials()
    rate = gemm_rate(shape.rows)
    start, wall = now(), time.perf_counter()
    for _ in range(repeats):
        trials()
    seconds, wall = (now() - start) / repeats, (time.perf_counter() - wall) / repeats
    rate = (rate + gemm_rate(shape.rows)) / 2
    achieved = count * shape.trial_flops(features) / seconds
    together = {f"trials_per_second_{name}": count / wall} if parallel.count > 1 else {}
    return together | {
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


def measure_exact(shape: Shape, parallel: RowParallel, repeats: int = 8) -> dict[str, float]:
    """Rows of one-token answers that patch the middle layer, per second of process time on CPU."""
    transformer, dictionary, prompt = make_inputs(shape)
    tree = answer_tree(prompt[-1], (Answer("a", "stop"), Answer("b", "bet")), ((1,), (2,)))
    clean = clean_tree(transformer, prompt, tree)
    background = parallel.replicate(Background(transformer, dictionary, clean))
    edits = (patched_rows(shape, shape.rows),)
    start = start_layer(edits, clean)
    whole = jax.tree.map(lambda a: np.stack([a] * parallel.count), (edits, np.int32(start)))
    own = parallel.split(jax.tree.map(jnp.asarray, whole))
    program = parallel.program(edited_answers)
    jax.block_until_ready(program(background, own))
    rate, begun = gemm_rate(shape.rows), now()
    for _ in range(repeats):
        jax.block_until_ready(program(background, own))
    seconds = (now() - begun) / repeats
    rows = shape.rows * parallel.count
    needed = rows * (shape.token_flops - start * shape.block_flops)
    return {"exact_rows_per_cpu_second": rows / seconds, "gemm_fraction_exact": needed / seconds / rate}
