"""What training makes is what its files hold, to the bit, in both formats."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.train.design import Design
from causeway.engine.train.folding import fold
from causeway.engine.train.recipe import Recipe
from causeway.engine.train.state import DictionaryState, Parameters
from causeway.ports.dictionaries.circuit_tracer_write import save_circuit_tracer
from causeway.ports.dictionaries.load import load_dictionaries, save_dictionary

L, D, F = 2, 8, 12


def trained(design, kind):
    """A state as training leaves it, folded."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    decoder = tuple(draw(F, (L - i) * D) for i in range(L)) if design.cross_layer else draw(L, F, D)
    parameters = Parameters(
        draw(L, D, F), draw(L, F), decoder, draw(L, D), draw(L, F) if kind == "jumprelu" else None,
        draw(L, D, D) if design.skip else None,
    )  # fmt: skip
    state = DictionaryState(
        parameters, (), jnp.zeros((L, F), jnp.int32), abs(draw(L)), draw(L, D), abs(draw(L)), jnp.zeros((), jnp.int32),
        draw(L, D), abs(draw(L)),
    )  # fmt: skip
    return fold(Recipe(kind, F, 3, 10), state, design)


@pytest.mark.parametrize("kind", ["jumprelu", "batchtopk"])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("form", ["saelens", "circuit_tracer", "cross_layer"])
def test_round_trip(tmp_path, form, skip, kind):
    made = trained(Design("mlp_in", (0, 1), "mlp_out", skip, form == "cross_layer"), kind)
    if form == "saelens":
        save_dictionary(tmp_path, made, {"model_name": "a/model"})
    else:
        save_circuit_tracer(tmp_path, made, "a/model")
    back = load_dictionaries(tmp_path)
    assert isinstance(back, CrossLayerTranscoder) == (form == "cross_layer")
    assert dataclasses.asdict(back.config) == dataclasses.asdict(made.config)
    assert jax.tree.structure(back) == jax.tree.structure(made)
    jax.tree.map(np.testing.assert_array_equal, back, made)
