"""Along which directions prompts are scored: the same for all, or one of each prompt's own.

    Directions            R vectors of `final_norm`, or of `resid_post` of a layer, for every prompt
    targets               the difference of two logits, or a token's less the mean one, at each prompt's output position

Shapes: P prompts, R directions, D model.
"""

import dataclasses
from collections.abc import Sequence
from typing import cast

import numpy as np
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.analyses.attribute.targets import Target, Wanted, one_target, unembedding_vector
from causeway.engine.directions import Directions
from causeway.engine.model.handle import Model, Prompt

ANSWERS = "answers"
AnyDirections = Directions | Wanted | Sequence[Wanted]


@dataclasses.dataclass(frozen=True, eq=False)
class Aims:
    """What is scored.

    Attributes:
        names: of the directions, R.
        vectors: [1, R, D] where all prompts have the same, else [P, R, D]; in the dtype of sums.
        layer: whose `resid_post` they are of; None of `final_norm`.
    """

    names: tuple[str, ...]
    vectors: Float[np.ndarray, "P R D"]
    layer: int | None = None

    def of(self, numbers: Sequence[int]) -> Float[np.ndarray, "B R D"]:
        """Those of some prompts."""
        return self.vectors[np.zeros(len(numbers), int) if len(self.vectors) == 1 else np.asarray(numbers)]


def aims_of(model: Model, prompts: Sequence[Prompt], directions: AnyDirections) -> Aims:
    """The directions of prompts.

    Args:
        directions: `Directions`; or a target, or one a prompt: `logit_difference(...)`, another `Target`, or a token by
            id or text.

    Raises:
        ValueError: directions of another model, targets that are none, or another number of them than of prompts.
    """
    dtype = np.dtype(model.numerics.accumulate)
    if isinstance(directions, Directions):
        directions.check_of_model(model)
        return Aims(directions.names, directions.vectors[None].astype(dtype), directions.layer)
    if isinstance(directions, Target | int | str):
        target = one_target(model, prompts[0], directions)
        return Aims((target.label,), unembedding_vector(model, target)[None, None].astype(dtype))
    if not isinstance(directions, Sequence) or len(directions) != len(prompts):
        count = f"{len(directions)} targets" if isinstance(directions, Sequence) else scalars.shown(directions)
        raise ValueError(f"directions: got {count} for {len(prompts)} prompts; needs Directions, a target, or one each")
    found = [one_target(model, prompt, cast(Wanted, t)) for prompt, t in zip(prompts, directions, strict=True)]
    vectors = np.stack([unembedding_vector(model, target) for target in found])
    return Aims((ANSWERS,), vectors[:, None].astype(dtype))
