"""Representations: the stream of a model at one position of each prompt, and what is known of the prompts.

A representation is raw: neither centred nor of unit length. Where the model's answers were scored, a prompt's record
says so in its further fields, which are read back with it:

    log_p_correct, log_p_incorrect    log P(answer | prompt), nats, summed over the answer's tokens
    margin                            their difference: above 0 where the right answer is the more probable one
    generated, generated_correct      what the model writes, and whether its number is the final answer
    correct                           whether the model is right: by what it wrote where that could be judged, else by
                                      margin > 0
    label_source                      which of the two: generated, or margin
    position, prompt_tokens           where the prompt was read, and how many tokens it has

A prompt without a right and a wrong answer, or without a final answer, lacks the fields that would be of them.

Shapes: P prompts, D model.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.directions import check_of_model, check_stream
from causeway.engine.model.handle import Model
from causeway.engine.prompt_record import PromptRecord

FIELDS = (
    "log_p_correct", "log_p_incorrect", "margin", "generated", "generated_correct", "correct", "label_source",
    "position", "prompt_tokens",
)  # fmt: skip
LABEL_SOURCES = ("generated", "margin")


@dataclasses.dataclass(frozen=True, eq=False)
class Representations:
    """One vector a prompt.

    Attributes:
        records: the prompts, with `FIELDS` among their own fields.
        vectors: [P, D].
        stream: `final_norm`, or `resid_post`.
        layer: of `resid_post`; None of `final_norm`, which comes once.
        fingerprint: of the model's weights.
        about: how they were made, as JSON values.

    Raises:
        ValueError: no vector, or more or fewer than prompts, numbers that are not finite, or another stream.
    """

    records: tuple[PromptRecord, ...]
    vectors: Float[np.ndarray, "P D"]
    stream: str = "final_norm"
    layer: int | None = None
    fingerprint: str = ""
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        vectors = scalars.finite_array(self.vectors, "Representations.vectors")
        if vectors.ndim != 2 or not len(vectors) or len(vectors) != len(self.records):
            raise ValueError(
                f"representations: got {len(self.records)} prompts and vectors of shape {vectors.shape}; needs a "
                "vector [D] for each prompt, made by one run of `represent`"
            )
        check_stream("Representations.stream", self.stream, self.layer)
        object.__setattr__(self, "vectors", vectors)

    @property
    def margins(self) -> Float[np.ndarray, " P"]:
        """`margins_of` the prompts."""
        return margins_of(self.records)

    def right(self, source: str) -> Float[np.ndarray, " P"]:
        """`right_of` the prompts."""
        return right_of(self.records, source)

    def check_of_model(self, model: Model) -> None:
        """Refuse representations of another model.

        Raises:
            ValueError: another fingerprint, width or number of layers.
        """
        check_of_model("representations", self.fingerprint, self.vectors.shape[1], self.layer, model)


def margins_of(records: Sequence[PromptRecord]) -> Float[np.ndarray, " P"]:
    """log P(right) - log P(wrong) of each prompt, nats; NaN where it has no answers."""
    return np.array([np.nan if (m := r.fields.get("margin")) is None else float(m) for r in records])


def right_of(records: Sequence[PromptRecord], source: str) -> Float[np.ndarray, " P"]:
    """Whether the model is right, by one source of labels: 1, 0, or NaN where that says nothing.

    Args:
        source: generated, or margin (above 0).

    Raises:
        ValueError: another source.
    """
    if source not in LABEL_SOURCES:
        raise ValueError(f"label_source: got {source!r}; needs one of {', '.join(LABEL_SOURCES)}")
    if source == "margin":
        margins = margins_of(records)
        return np.where(np.isnan(margins), np.nan, margins > 0)
    told = [record.fields.get("generated_correct") for record in records]
    return np.array([np.nan if right is None else float(right) for right in told])


def joined(parts: Sequence[Representations]) -> Representations:
    """Representations of several sets of prompts as one.

    Raises:
        ValueError: none, or of different models or places.
    """
    if not parts:
        raise ValueError("representations: got none; needs at least one set")
    first, *others = parts
    for other in others:
        places = [(one.stream, one.layer, one.vectors.shape[1]) for one in (first, other)]
        if first.fingerprint != other.fingerprint or places[0] != places[1]:
            raise ValueError(
                f"representations: of {places[0][0]}, layer {places[0][1]}, weights {first.fingerprint[:12]} and of "
                f"{places[1][0]}, layer {places[1][1]}, weights {other.fingerprint[:12]}; needs one place of one model"
            )
    records = tuple(record for part in parts for record in part.records)
    vectors = np.concatenate([part.vectors for part in parts])
    return Representations(records, vectors, first.stream, first.layer, first.fingerprint, first.about)
