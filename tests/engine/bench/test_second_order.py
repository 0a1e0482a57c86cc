"""The benchmark of second-order effects holds its two methods against each other, and counts what is needed."""

import pytest

from causeway.engine.bench import second_order
from causeway.engine.bench.run import RunShape
from causeway.engine.bench.second_order import SecondOrderShape, measure_second_order, scores_flops

SHAPE = SecondOrderShape(prompts=2, tokens=8, model=RunShape(layers=3, d_model=24, heads=3, vocab=30), layer=1)


def test_operations_are_those_of_values_and_output_maps_below_the_last_layer():
    config = SHAPE.model.config
    assert scores_flops(config, 8) == 2 * 2 * 8 * (24 * 96 + 24 * 24)


@pytest.mark.slow
def test_its_figures_are_numbers_and_its_methods_agree():
    figures = measure_second_order(SHAPE, repeats=1)
    assert figures["speedup_over_materialising"] > 0
    assert figures["scores_ms_per_prompt"] > 0


def test_methods_that_differ_end_it(monkeypatch):
    codes = second_order.effect_codes
    monkeypatch.setattr(second_order, "effect_codes", lambda *given: 1.001 * codes(*given))
    with pytest.raises(ArithmeticError, match="second_order: head 0 differs by"):
        measure_second_order(SHAPE, repeats=1)
