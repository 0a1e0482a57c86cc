"""What a thousand single-feature interventions on one prompt cost, in forward passes of the same batch shape.

The reference shape is that of `bench.attribute`. The clean pass is run once, inside what is timed; compilation is not.
Rows start from the clean stream at their own layer, so that a sweep over all layers is about half of one plain pass.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np

from causeway.engine.analyses.intervene.clean_run import CleanRun
from causeway.engine.analyses.intervene.intervention_rows import feature_rows
from causeway.engine.bench.attribute import GraphShape, make_inputs
from causeway.engine.bench.run import best
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.intervention.hold import Name
from causeway.engine.intervention.operations import coefficients
from causeway.engine.model.forward import run
from causeway.engine.model.handle import Model

ROWS = 128


def measure_interventions(
    shape: GraphShape, repeats: int, count: int = 1000, modes: tuple[Name, ...] = ("open", "constrained")
) -> dict[str, float]:
    """CPU-seconds of the sweep in each mode, and its ratio to one pass of 128 rows and to one of all rows."""
    model, transcoders, prompt = make_inputs(shape)
    rng = np.random.default_rng(0)
    most = (shape.layers, shape.tokens, shape.features)
    features = np.stack([rng.integers(0, size, count) for size in most], axis=1)
    batch = jnp.asarray(np.tile(prompt, (ROWS, 1)), jnp.int32)
    one = best(lambda: run(model.transformer, batch).logits.block_until_ready(), repeats)
    figures = {"forward_cpu_seconds": one, "rows_a_batch": float(ROWS), "interventions": float(count)}
    for mode in modes:
        seconds = best(partial(_sweep, model, transcoders, prompt, features, mode), repeats)
        figures |= {
            f"{mode}_cpu_seconds": seconds,
            f"{mode}_batch_passes": seconds / one,
            f"{mode}_whole_passes": seconds / one / (count / ROWS),
        }
    return figures


def _sweep(model: Model, transcoders: Dictionary, prompt: list[int], features: np.ndarray, mode: Name) -> object:
    run = CleanRun(model, transcoders, prompt)
    return run.last_logits(feature_rows(run.transcoders, features, coefficients("set", 2.0)), mode, width=ROWS)
