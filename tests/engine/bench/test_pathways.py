"""The benchmark of gradient discovery holds it against autograd, and counts what is needed."""

import numpy as np
import pytest

from causeway.engine.analyses.pathways import readings
from causeway.engine.bench.pathways import PathwaysShape, measure_pathways, needed_flops

SHAPE = PathwaysShape(
    layers=3, d_model=16, heads=4, kv_heads=2, d_ff=24, vocab=30, features=48, active=4, tokens=8, targets=12,
    prompts=2, top=5,
)  # fmt: skip


def test_operations_are_those_of_what_lies_below_each_target():
    wanted = 0
    for layer in np.arange(12) % 3:
        read = 2 * 8 * 16 * 48
        keys = 2 * 8 * 16 * (8 + 8)
        block = 2 * 8 * 16 * (16 + 16 + 8 + 8 + 3 * 24) + 4 * 2 * 16 * sum(range(1, 9))
        wanted += 2 * sum(((layer > 0) * keys, max(layer - 1, 0) * block, layer * read))
    assert needed_flops(SHAPE) == wanted


@pytest.mark.slow
def test_its_figures_are_numbers_and_autograd_agrees():
    figures = measure_pathways(SHAPE, repeats=1)
    assert figures["speedup_over_autograd"] > 0
    assert figures["gemm_fraction"] > 0
    assert figures["peak_rss_gb_four_times_the_targets"] >= figures["peak_rss_gb"] > 0


@pytest.mark.slow
def test_effects_that_differ_end_it(monkeypatch):
    planned = readings.each_planned
    monkeypatch.setattr(
        readings, "each_planned", lambda *given: (f := planned(*given))._replace(effect=1.001 * f.effect)
    )
    # Programs are kept by what they are compiled for, so it is another number of sources.
    with pytest.raises(ArithmeticError, match="pathways: effects of layer 0 on 1:"):
        measure_pathways(PathwaysShape(**{**vars(SHAPE), "top": 4}), repeats=1)
