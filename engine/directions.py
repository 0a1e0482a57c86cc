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
        check_stream("Directions.stream", self.stream, self.layer)
        object.__setattr__(self, "vectors", vectors)

    def check_of_model(self, model: Model) -> None:
        """Refuse directions of another model.

        Raises:
            ValueError: another fingerprint, width or number of layers.
        """
        check_of_model("directions", self.fingerprint, self.vectors.shape[1], self.layer, model)


def check_stream(where: str, stream: str, layer: int | None) -> None:
    """Refuse a stream in which no direction is kept.

    Args:
        where: the argument, for errors.

    Raises:
        ValueError: neither final_norm without a layer nor resid_post of one.
    """
    if stream not in STREAMS or (stream == "final_norm") != (layer is None):
        raise ValueError(
            f"{where}: got {stream!r} of layer {layer}; needs final_norm (no layer), or resid_post of a layer"
        )


def check_of_model(what: str, fingerprint: str, width: int, layer: int | None, model: Model) -> None:
    """Refuse vectors that are of another model's stream.

    Args:
        what: they are, for errors. fingerprint: of the weights that they were made on, "" where nothing is known.

    Raises:
        ValueError: another fingerprint, width or number of layers.
    """
    layers = model.config.num_layers
    if fingerprint and fingerprint != model.fingerprint:
        raise ValueError(
            f"{what}: made on weights {fingerprint[:12]}, but {model.name} is {model.fingerprint[:12]}; make them on "
            "this model"
        )
    if width != model.config.d_model:
        raise ValueError(f"{what}: {width} coordinates, but the stream of {model.name} has {model.config.d_model}")
    if layer is not None and not 0 <= layer < layers:
        raise ValueError(f"{what}: of layer {layer}, but {model.name} has layers 0..{layers - 1}")
