import threading

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.placement import Replicated, Sharded, Streamed, StreamedDictionaries

LAYERS = (1, 4, 5, 9)


def mesh(axis_type=AxisType.Auto):
    return jax.make_mesh((2, 2), ("data", "model"), axis_types=(axis_type,) * 2)


class Library:
    """Hands out an array a layer, and knows which it made and in which thread."""

    def __init__(self, fails=()):
        self.loaded, self.threads, self.fails = [], set(), set(fails)

    def __call__(self, layer):
        self.loaded.append(layer)
        self.threads.add(threading.current_thread().name)
        if layer in self.fails:
            raise ValueError(f"layer {layer} is damaged")
        return np.full(3, layer)


def streamed(library, resident):
    return StreamedDictionaries([DictionaryConfig("relu", (layer,)) for layer in LAYERS], library, resident)


@pytest.mark.parametrize("resident", [1, 2, 3])
def test_layers_come_in_order_each_read_once_a_pass(resident):
    library = Library()
    layers = streamed(library, resident)
    assert [(layer, int(array[0])) for layer, array in layers] == [(layer, layer) for layer in LAYERS]
    assert library.loaded == list(LAYERS)
    assert (len(layers), layers.layers, layers.config.layers) == (4, LAYERS, LAYERS)


def test_the_next_layer_is_fetched_ahead_by_another_thread():
    library = Library()
    layers = streamed(library, 2)
    layers.layer(4)
    layers._kept[5].result()
    assert library.loaded == [4, 5]
    assert threading.current_thread().name not in library.threads


def test_no_more_layers_are_held_than_said():
    layers = streamed(Library(), 2)
    for layer in (1, 9, 4, 5, 1):
        layers.layer(layer)
        assert len(layers._kept) <= 2


def test_one_resident_layer_fetches_nothing_ahead():
    library = Library()
    layers = streamed(library, 1)
    layers.layer(4)
    layers.layer(4)
    assert library.loaded == [4]


def test_a_damaged_layer_is_an_error_where_it_is_asked_for_and_not_before():
    layers = streamed(Library(fails=(5,)), 2)
    layers.layer(4)
    for _ in range(2):
        with pytest.raises(ValueError, match="layer 5 is damaged"):
            layers.layer(5)
    assert layers.layer(9)[0] == 9


def test_unknown_layer():
    with pytest.raises(ValueError, match=r"layer 2 has no dictionary; .* are for layers \(1, 4, 5, 9\)"):
        streamed(Library(), 2).layer(2)


def test_shardings():
    assert Replicated().sharding((4, 8), 1) is None
    assert Replicated(mesh()).sharding((4, 8), 1).spec == PartitionSpec()
    assert Sharded(mesh()).sharding((3, 4, 8), 2).spec == PartitionSpec(None, None, "model")
    assert Sharded(mesh()).sharding((8, 4), None).spec == PartitionSpec()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sharded(jax.make_mesh((4,), ("parts",))).sharding((8,), 0), "an axis 'parts'; needs data and model"),
        (lambda: Sharded(mesh()).sharding((4, 7), 1), "model:2 does not divide the 7 features of the dictionaries"),
        (lambda: Sharded(mesh(AxisType.Explicit)).sharding((8,), 0), "needs Auto"),
        (lambda: Replicated(mesh(AxisType.Explicit)).sharding((8,), 0), "needs Auto"),
        (lambda: Streamed(0), "Streamed.resident: got 0"),
        (lambda: Streamed("two"), "Streamed.resident: got 'two'"),
        (lambda: Streamed(each="one"), "Streamed.each: got 'one'"),
        (lambda: Streamed(keep="cloud"), "Streamed.keep: got 'cloud'"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
