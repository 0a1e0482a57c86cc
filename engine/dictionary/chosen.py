"""Chosen features of streamed dictionaries as a small stack in memory, which is all that elementwise edits read."""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from causeway.engine.dictionary.dictionary import Dictionary, stack
from causeway.engine.dictionary.placement import StreamedDictionaries

# Where arrays count features; those that do not are taken whole.
FEATURE_AXES = {"W_enc": 1, "b_dec": None, "W_skip": None}


def chosen_stack(dictionary: StreamedDictionaries, chosen: Mapping[int, Int[np.ndarray, " n"]]) -> Dictionary:
    """The features of each layer in the order given, as many as the longest list has; shorter ones repeat the first.

    Cost: one layer at a time is on the devices beside what is chosen.
    """
    most = max(map(len, chosen.values()))
    padded = {layer: np.r_[ids, np.repeat(ids[:1], most - len(ids))] for layer, ids in chosen.items()}
    found = [_chosen(dictionary, layer, ids) for layer, ids in padded.items()]
    return stack(found).with_config(dataclasses.replace(dictionary.config, layers=tuple(padded)))


def _chosen(dictionary: StreamedDictionaries, layer: int, ids: Int[np.ndarray, " n"]) -> Dictionary:
    arrays = {
        name: array if (axis := FEATURE_AXES.get(name, 0)) is None else jnp.take(array, ids, axis)
        for name, array in dictionary.arrays_at(layer).items()
    }
    return Dictionary(dataclasses.replace(dictionary.config, layers=(layer,)), **arrays)
