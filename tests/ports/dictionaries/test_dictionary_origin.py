"""What layers say alike is said once, the rest layer by layer."""

import dataclasses

import numpy as np

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.ports.dictionaries.feature_arrays import in_memory
from causeway.ports.dictionaries.source import DictionarySource, origin_of


def source(layer, **changes):
    shapes = {"W_enc": (2, 3), "b_enc": (3,), "W_dec": (3, 2)}
    arrays = {name: in_memory(np.zeros(shape)) for name, shape in shapes.items()}
    made = DictionarySource("x", "saelens", DictionaryConfig("relu", (layer,)), arrays, (), "gpt2")
    return dataclasses.replace(made, **changes)


def test_alike():
    origin = origin_of([source(0, card={"l0": 5}), source(1, card={"l0": 5})])
    assert origin == {"format": "saelens", "model_name": "gpt2", "value_scale": "raw", "card": {"l0": 5}}


def test_different():
    first, second = source(0, card={"l0": 5, "a": 1}), source(1, card={"l0": 7}, value_scale="halved")
    origin = origin_of([first, second])
    assert origin["card"] == {"l0": [5, 7], "a": [1, None]}
    assert origin["value_scale"] == "raw; halved"
