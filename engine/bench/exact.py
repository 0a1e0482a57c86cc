"""How fast exact outcomes are: rows a second, and how close to one token's pass over the layers above the patch."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from causeway.engine.bench.gemm import gemm_rate
from causeway.engine.bench.reference import Shape, make_inputs, patched_rows
from causeway.engine.devices import RowParallel
from causeway.engine.outcome.answers import Answer, answer_tree
from causeway.engine.outcome.exact import Background, clean_tree, edited_answers, start_layer


def measure_exact(shape: Shape, parallel: RowParallel, repeats: int = 8) -> dict[str, float]:
    """Rows of one-token answers that patch the middle layer, per second of process time on CPU."""
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
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
    rate, begun = gemm_rate(shape.rows), clock()
    for _ in range(repeats):
        jax.block_until_ready(program(background, own))
    seconds = (clock() - begun) / repeats
    rows = shape.rows * parallel.count
    needed = rows * (shape.token_flops - start * shape.block_flops)
    return {"exact_rows_per_cpu_second": rows / seconds, "gemm_fraction_exact": needed / seconds / rate}
