"""Random features that stand in a feature's place: others of its layer, in whose direction the same is written.

A function of (seed, layer, feature, draw) alone, so that no other feature, prompt or order changes a draw.

Shapes: N features, n draws.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from causeway.engine.dictionary.placement import Holder
from causeway.engine.gathered import to_host
from causeway.engine.model.sampling import Purpose


def other_features(
    layer: int, features: Int[np.ndarray, " N"], dictionary: Holder, draws: Sequence[int], seed: int
) -> Int[np.ndarray, "N n"]:
    """For each feature and draw another one of its layer that writes something.

    Args:
        draws: their numbers.

    Raises:
        ValueError: none other writes.
    """
    rows = to_host(dictionary.arrays_at(layer)["W_dec"]).astype(np.float32)
    written = np.flatnonzero(np.linalg.norm(rows.reshape(len(rows), -1), axis=-1) > 0)
    found = np.zeros((len(features), len(draws)), np.int32)
    for row, feature in enumerate(features.tolist()):
        others = written[written != feature]
        if not len(others):
            raise ValueError(f"random_draws: layer {layer} has no other feature that writes; leave random controls out")
        keys = [[seed, int(Purpose.CONTROL_FEATURE), layer, feature, draw] for draw in draws]
        found[row] = [others[np.random.default_rng(key).integers(len(others))] for key in keys]
    return found
