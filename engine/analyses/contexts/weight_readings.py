"""What the weights alone say of each feature that is looked at, layer by layer.

On a mesh over several processes everything that is computed on the model has to be computed by all of them, so this
comes before one of them is left to write the tables.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from causeway.engine.analyses.contexts.logit_weights import LogitWeights, logit_weights
from causeway.engine.analyses.contexts.nearest import nearest_features
from causeway.engine.analyses.contexts.sweep import ContextSweep
from causeway.engine.progress import each


@dataclasses.dataclass(frozen=True)
class WeightReading:
    """Of one layer's features.

    Attributes:
        logits: tokens promoted and suppressed; None where there are none to tell.
        nearest, cosines: [F, k] features that write alike.
    """

    logits: LogitWeights | None
    nearest: Int[np.ndarray, "F k"]
    cosines: Float[np.ndarray, "F k"]


def weight_readings(sweep: ContextSweep, tokens: int) -> dict[int, WeightReading]:
    """The readings of all layers.

    Args:
        tokens: promoted, and suppressed ones, of each feature; 0 for none.
    """
    return {layer: _of_layer(sweep, layer, tokens) for layer in each("weights read", sweep.layers, "layer")}


def _of_layer(sweep: ContextSweep, layer: int, tokens: int) -> WeightReading:
    features, dictionary = sweep.features[layer], sweep.dictionary
    logits = logit_weights(sweep.model.transformer, dictionary, layer, features, tokens) if tokens else None
    return WeightReading(logits, *nearest_features(dictionary, layer, features))
