"""Scaling neurons in the weights is scaling their activations at all tokens."""

import jax
import numpy as np
import pytest

from causeway.engine.calls.run import run
from causeway.engine.intervention.requests import FeatureEdit, UnitEdit
from causeway.engine.model.handle import Model
from causeway.engine.neurons import Neurons
from causeway.engine.scaled_neurons import ScaledNeurons, scaled_rows, with_scaled

# What a float32 edit holds exactly.
FACTORS = [2.0, 0.0, -1.5, 0.25]
SCALED = ScaledNeurons(Neurons([0, 0, 1, 2], [3, 17, 5, 23]), np.array(FACTORS))


def model_of(transformer, place=None):
    return Model(transformer, None, "tiny", "0" * 64, **({"read_place": place} if place else {}))


def logits(transformer, tiny, edits=()):
    return run(model_of(transformer), tiny.PROMPT.tolist(), edits=list(edits)).logits[0]


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "gpt_neox", "gemma2", "gemma3", "olmo2", "qwen2", "bare"])
def test_scaled_weights_are_scaled_activations_in_every_family(tiny, double, family):
    transformer = tiny.make_transformer(tiny.DOUBLE, **tiny.FAMILIES[family])
    edited = logits(transformer, tiny, SCALED.edits())
    found = logits(with_scaled(transformer, SCALED), tiny)
    np.testing.assert_allclose(found, edited, atol=1e-11)
    assert np.abs(found - logits(transformer, tiny)).max() > 1e-3


def test_each_row_is_multiplied_and_the_model_given_stays_as_it_is(tiny, double):
    transformer = tiny.make_transformer(tiny.DOUBLE)
    before = np.array(transformer.blocks.mlp.down[...])
    weights = before.copy()
    for layer, neuron, factor in zip(SCALED.neurons.layer, SCALED.neurons.neuron, FACTORS, strict=True):
        weights[layer, neuron] *= factor
    np.testing.assert_array_equal(with_scaled(transformer, SCALED).blocks.mlp.down[...], weights)
    np.testing.assert_array_equal(transformer.blocks.mlp.down[...], before)


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "float16"])
def test_a_factor_of_one_changes_no_bit(tiny, storage):
    from causeway.engine.model.config import Numerics

    transformer = tiny.make_transformer(Numerics(storage, "float32", "float32"))
    same = with_scaled(transformer, ScaledNeurons(SCALED.neurons, np.ones(4)))
    assert all(map(np.array_equal, jax.tree.leaves(transformer), jax.tree.leaves(same)))


def test_only_the_rows_named_change_and_all_else_is_shared(tiny):
    transformer = tiny.make_transformer()
    edited = with_scaled(transformer, SCALED)
    assert edited.blocks.mlp.up[...] is transformer.blocks.mlp.up[...]
    differ = np.argwhere((np.asarray(edited.blocks.mlp.down) != np.asarray(transformer.blocks.mlp.down)).any(axis=-1))
    assert differ.tolist() == [[0, 3], [0, 17], [1, 5], [2, 23]]


def test_rows_are_rounded_once():
    import ml_dtypes

    rows = np.array([[1.0, 3.0, -7.0]], ml_dtypes.bfloat16)
    exact = (rows.astype(np.float32) * np.float32(1.3)).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(scaled_rows(rows, np.array([1.3])), exact)


def test_edits_and_scaled_neurons_say_the_same(tiny):
    model = model_of(tiny.make_transformer())
    again = ScaledNeurons.of_edits(SCALED.edits(), model)
    assert again.factor.tolist() == FACTORS
    assert again.neurons.neuron.tolist() == [3, 17, 5, 23]
    others = [UnitEdit(-1, 4, stream="mlp_act"), UnitEdit(0, 4, 0.5, "inhibit", stream="mlp_act")]
    found = ScaledNeurons.of_edits(others, model)
    assert (found.neurons.layer.tolist(), found.factor.tolist()) == ([2, 0], [0.0, -0.5])


@pytest.mark.parametrize(("edits", "match"), [
    ([], "needs edits of neurons"),
    ([FeatureEdit(0, 1)], "weights hold scalings"),
    ([UnitEdit(0, 1)], "weights hold scalings"),
    ([UnitEdit(0, 1, 2.0, "scale", "last_prompt", "mlp_act")], "weights hold scalings"),
    ([UnitEdit(0, 1, 2.0, "add", stream="mlp_act")], "needs one that multiplies"),
    ([UnitEdit(0, 1, 2.0, "at_most", stream="mlp_act")], "needs one that multiplies"),
    ([UnitEdit(0, 1, stream="mlp_act"), UnitEdit(0, 1, stream="mlp_act")], "0:1 comes 2 times"),
    ([UnitEdit(9, 1, stream="mlp_act")], "layer"),
])  # fmt: skip
def test_what_weights_cannot_hold_is_refused(tiny, refuses, edits, match):
    with refuses(match):
        ScaledNeurons.of_edits(edits, model_of(tiny.make_transformer()))


def test_neurons_and_factors_that_do_not_fit_are_refused(tiny, refuses):
    with refuses("a number in float32's range for each of the 4 neurons"):
        ScaledNeurons(SCALED.neurons, np.ones(3))
    with refuses("finite"):
        ScaledNeurons(SCALED.neurons, np.full(4, np.nan))
    with refuses("got 0:24; the model has layers 0..2 of 24 neurons"):
        with_scaled(tiny.make_transformer(), ScaledNeurons(Neurons([0], [24]), np.ones(1)))
