"""The benchmark counts what it says it counts, and gives every figure it is asked for."""

import dataclasses

import jax
import numpy as np
import pytest

from causeway.engine.bench.gemm import gemm_rate
from causeway.engine.bench.patch_sweep import measure
from causeway.engine.bench.reference import Shape, make_inputs, patched_rows
from causeway.engine.devices import local_parallel
from causeway.engine.intervention.checks import check_edits

SMALL = Shape(
    layers=2, d_model=32, heads=2, kv_heads=1, d_ff=48, vocab=64, features=64, prompt=8, tokens=4, selected=8, rows=8,
    segments=(2, 2),
)  # fmt: skip


def test_the_reference_shape_is_the_one_that_figures_are_compared_in():
    shape = Shape()
    assert (shape.layers, shape.d_model, shape.heads, shape.kv_heads, shape.d_ff) == (8, 512, 8, 4, 1408)
    assert (shape.vocab, shape.features, shape.prompt, shape.tokens, shape.selected) == (4096, 4096, 64, 32, 128)
    assert sum(shape.segments) == shape.tokens


@pytest.mark.slow
@pytest.mark.parametrize("shape", [SMALL, dataclasses.replace(SMALL, kv_heads=2, layers=3)], ids=["grouped", "full"])
def test_operations_are_two_for_each_weight_a_token_meets(shape):
    transformer, _, prompt = make_inputs(shape)
    products = [leaf for leaf in jax.tree.leaves(transformer.blocks) if leaf.ndim > 2]
    assert shape.layers * shape.block_flops == 2 * sum(leaf.size for leaf in products)
    assert shape.token_flops - shape.layers * shape.block_flops == 2 * transformer.embedding[...].size
    recorded = shape.trial_flops(5) - shape.trial_flops(0)
    assert recorded == 2 * shape.tokens * shape.layers * shape.d_model * 5
    assert len(prompt) == shape.prompt


def test_rows_patch_different_features_in_the_middle():
    _, dictionary, _ = make_inputs(SMALL)
    edit = patched_rows(SMALL, 20)
    check_edits((edit,), SMALL.config, dictionary)
    assert len(np.unique(edit.feature)) == 20
    assert set(edit.layer.ravel()) == {1}


def test_the_rate_of_products_is_a_rate():
    # Machines reach between a tenth of a GFLOP/s and a few hundred TFLOP/s.
    assert 1e8 < gemm_rate(rows=16, inner=64, outer=64, seconds=0.05) < 1e15


@pytest.mark.slow
def test_every_figure_is_there_and_is_a_number():
    figures = measure(SMALL, local_parallel(1), repeats=1)
    asked = {
        "trials_per_cpu_second_all_features", "trials_per_cpu_second_selected", "gemm_fraction", "compilations",
        "peak_rss_gb", "store_ms_per_trial", "tokens_per_second_selected", "gflops_selected",
        "compile_seconds_selected",
    }  # fmt: skip
    assert asked <= figures.keys()
    assert all(np.isfinite(value) and value >= 0 for name, value in figures.items() if not name.startswith("compile"))
    assert figures["compilations"] == len(SMALL.segments)
    ratio = figures["tokens_per_second_selected"] / figures["trials_per_cpu_second_selected"]
    assert ratio == pytest.approx(SMALL.tokens)
