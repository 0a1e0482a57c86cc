"""Nodes of different prompts made comparable: a node's key is (kind, layer, feature, place).

A place is a role where the prompt names one for the position, else the distance from the prompt's end: -1 is the last
token, which predicts. Keys are packed into one int64 (kind 2 bits, layer 12, feature 32, place 17), so that millions
of them are sorted and joined by numpy.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from causeway.engine.analyses.attribute.graph import AttributionGraph

KINDS = ("feature", "error", "token")
_LAYER, _FEATURE, _PLACE = 12, 32, 17
_FROM_END = 1 << (_PLACE - 1)


class Key(NamedTuple):
    """An unpacked key; place is a role's name or a negative number as text."""

    kind: str
    layer: int
    feature: int
    place: str

    @property
    def name(self) -> str:
        """A node's name in files: L15_F1234@-1, error_L3@subject, token@-2."""
        stem = {"feature": f"L{self.layer}_F{self.feature}", "error": f"error_L{self.layer}", "token": "token"}
        return f"{stem[self.kind]}@{self.place}"


def column_keys(graph: AttributionGraph, roles: Mapping[str, int], names: Sequence[str]) -> Int[np.ndarray, " m"]:
    """The key of each column of a graph; `names` are all roles of the behaviour, in one order for all prompts."""
    length, layers = len(graph.tokens), graph.num_layers
    place = np.arange(-length, 0)
    for name, position in roles.items():
        place[position] = names.index(name)
    layer, position, feature = graph.features.T
    errors = np.arange(layers * length)
    return np.concatenate([
        _packed(0, layer, feature, place[position]),
        _packed(1, errors // length, 0, place[errors % length]),
        _packed(2, 0, 0, place),
    ])  # fmt: skip


def unpack(key: int, names: Sequence[str]) -> Key:
    """What a packed key stands for."""
    key = int(key)
    place = key % (1 << _PLACE) - _FROM_END
    feature = (key >> _PLACE) % (1 << _FEATURE)
    layer = (key >> (_PLACE + _FEATURE)) % (1 << _LAYER)
    return Key(KINDS[key >> (_PLACE + _FEATURE + _LAYER)], layer, feature, names[place] if place >= 0 else str(place))


def _packed(kind: int, layer: np.ndarray | int, feature: np.ndarray | int, place: np.ndarray) -> np.ndarray:
    high = (np.int64(kind) << _LAYER) + np.asarray(layer, np.int64)
    return (((high << _FEATURE) + np.asarray(feature, np.int64)) << _PLACE) + place + _FROM_END
