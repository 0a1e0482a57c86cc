import numpy as np
import pytest

from causeway.engine.components import Components
from causeway.engine.model.handle import Model


def unit(count, width=16):
    rows = np.random.default_rng(0).standard_normal((count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_components_belong_to_the_model_that_they_were_made_on(transformer):
    model = Model(transformer, None, "tiny", identity="tiny")
    zero = np.zeros((2, 16), np.float32)
    Components(1, np.array([3, 9]), zero, unit(2), model.fingerprint).check_of_model(model)
    with pytest.raises(ValueError, match=r"components: made on weights 123, but tiny is tiny; make them on this model"):
        Components(1, np.array([3, 9]), zero, unit(2), "123").check_of_model(model)
    with pytest.raises(ValueError, match="components: 5 coordinates, but the stream of tiny has 16"):
        Components(1, np.array([0]), zero[:1, :5], unit(1, 5)).check_of_model(model)
    with pytest.raises(ValueError, match=r"components: of layer 3, but tiny has layers 0\.\.2"):
        Components(3, np.array([0]), zero[:1], unit(1)).check_of_model(model)
    with pytest.raises(ValueError, match="components: of neuron 24, but a layer of tiny has 24 neurons"):
        Components(0, np.array([24]), zero[:1], unit(1)).check_of_model(model)


def test_a_neuron_that_does_not_vary_has_no_component():
    rows = unit(3)
    rows[1] = 0
    found = Components(0, np.arange(3), np.zeros_like(rows), rows)
    assert found.varies.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("neuron", "mean", "component", "message"),
    [
        ([0, 0], np.zeros((2, 16)), unit(2), "layer 4 has a neuron twice"),
        ([0], np.zeros((2, 16)), unit(2), r"needs \[M\], \[M, D\] and \[M, D\]"),
        ([0, 1], np.zeros((2, 15)), unit(2), r"needs \[M\], \[M, D\] and \[M, D\]"),
        ([0, 1], np.full((2, 16), np.nan), unit(2), "needs an array of finite numbers"),
        ([0, 7], np.zeros((2, 16)), unit(2) * np.array([[1], [2]]), "neuron 7 of layer 4 has norm 2; needs unit"),
    ],
)
def test_what_is_no_component_is_refused(neuron, mean, component, message):
    with pytest.raises(ValueError, match=message):
        Components(4, np.array(neuron), mean, component)
