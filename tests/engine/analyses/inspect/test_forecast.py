"""What inspecting will take, against the arrays that are then there."""

import jax

from causeway.engine.analyses.inspect.forecast import Forecast, model_numbers


def test_the_numbers_are_those_of_the_loaded_model_and_time_grows_with_the_text(transformer):
    numbers = model_numbers(transformer.config)
    assert numbers == sum(leaf.size for leaf in jax.tree.leaves(transformer))
    short, long = (Forecast(numbers, 1000, 2, tokens, 10, "bfloat16") for tokens in (50, 500))
    assert short.memory_bytes == 2 * (numbers + 1000)
    assert short.operations == 2 * numbers * 50 * 9 + 2 * 1000 * (100 + 240)
    assert short.operations < long.operations
    assert Forecast(numbers, 1000, 2, 0, 0, "float32").text().endswith("GB at least")
    assert "500 tokens at most" in long.text()
