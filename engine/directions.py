"""Directions of a stream: what scores and projections are taken on, whatever they were made from.

A direction is a vector of a stream at one place: of `final_norm` (the last norm's output, gain included: where columns
of the unembedding live), or of `resid_post` of a layer. It belongs to the model whose stream it is of, and says so by
its fingerprint.

Shapes: R directions, D model.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.model.handle import Model

STREAMS = ("final_norm", "resid_post")


@dataclasses.dataclass(frozen=True, eq=False)
class Directions:
    """R vectors of one stream.

    Attributes:
        names: of each, distinct.
        vectors: [R, D].
        stream: `final_norm`, or `resid_post`.
        layer: of `resid_post`; None of `final_norm`, which comes once.
        fingerprint: of the model's weights.
        about: how they were made and how well they do, as JSON values.

    Raises:
        ValueError: no vectors, names that are not one each, numbers that are not finite, or another stream.
    """

    names: tuple[str, ...]
    vectors: Float[np.ndarray, "R D"]
    stream: str = "final_norm"
    layer: int | None = None
    fingerprint: str = ""
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        vectors = scalars.finite_array(self.vectors, "Directions.vectors")
        if vectors.ndim != 2 or len(vectors) != len(self.names) or len(set(self.names)) < len(self.names):
            raise ValueError(
                f"Directions: got {len(self.names)} names and vectors of shape {vectors.shape}; needs a name of its "
                "own for each vector [D]"
            )
        if self.stream not in STREAMS or (self.stream == "final_norm") != (self.layer is None):
            raise ValueError(
                f"Directions.stream: got {self.stream!r} of layer {self.layer}; needs final_norm (no layer), or "
                "resid_post of a layer"
            )
        object.__setattr__(self, "vectors", vectors)

    def check_of_model(self, model: Model) -> None:
        """Refuse directions of another model.

        Raises:
            ValueError: another fingerprint, width or number of layers.
        """
        width, layers = model.config.d_model, model.config.num_layers
        if self.fingerprint and self.fingerprint != model.fingerprint:
            raise ValueError(
                f"directions: made on weights {self.fingerprint[:12]}, but {model.name} is {model.fingerprint[:12]}; "
                "make them on this model"
            )
        if self.vectors.shape[1] != width:
            raise ValueError(
                f"directions: {self.vectors.shape[1]} coordinates, but the stream of {model.name} has {width}"
            )
        if self.layer is not None and not 0 <= self.layer < layers:
            raise ValueError(f"directions: of layer {self.layer}, but {model.name} has layers 0..{layers - 1}")
