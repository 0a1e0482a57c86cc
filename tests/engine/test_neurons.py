import numpy as np
import pytest

from causeway.engine.neurons import Neurons


def test_the_first_of_each_layer_keep_their_order():
    found = Neurons(np.array([2, 0, 2, 0, 2]), np.array([7, 1, 3, 0, 5])).first(2)
    assert found.layer.tolist() == [2, 0, 2, 0]
    assert found.neuron.tolist() == [7, 1, 3, 0]
    assert found.layers == (0, 2)
    assert found.of(2).tolist() == [7, 3]


def test_all_neurons_of_a_model(tiny):
    found = Neurons.all_of(tiny.CONFIG)
    assert len(found.layer) == 3 * 24
    found.check_of(tiny.CONFIG)
    assert Neurons.all_of(tiny.CONFIG, (1,)).of(1).tolist() == list(range(24))


def test_those_of_lower_layers():
    found = Neurons(np.array([2, 0, 1]), np.array([7, 1, 3]))
    assert found.below(2).layer.tolist() == [0, 1]
    assert found.below(0) is None


@pytest.mark.parametrize(
    ("layer", "neuron", "message"),
    [
        ([], [], "needs one of each"),
        ([1, 1], [2], "needs one of each"),
        ([1, 1], [2, 2], "1:2 comes 2 times; name each once"),
        ([0.5], [2], "needs a whole number"),
    ],
)
def test_what_names_no_neurons_is_refused(layer, neuron, message):
    with pytest.raises(ValueError, match=message):
        Neurons(np.array(layer), np.array(neuron))


def test_a_neuron_that_the_model_lacks_is_named(tiny):
    with pytest.raises(ValueError, match=r"neurons: got 2:24; the model has layers 0\.\.2 of 24 neurons"):
        Neurons(np.array([0, 2]), np.array([0, 24])).check_of(tiny.CONFIG)
