"""How a stack of dictionaries is trained, as data."""

import dataclasses
import math
from collections.abc import Callable

import optax

from causeway.engine.scalars import integer, real, seed
from causeway.engine.train.sparsity import TRAINED_KINDS, TrainedKind


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything a training run depends on beside the model and the text.

    Attributes:
        kind: jumprelu, topk or batchtopk (which becomes a jumprelu dictionary).
        features: F.
        active: features per token: the L0 aimed at (jumprelu), or k.
        steps, batch, seed: optimiser steps, tokens a step, and the key of everything random.
        learning_rate: of Adam, at its peak; inputs have mean square norm 1.
        warmup: share of the steps over which the rate rises from 0; decay: share over which it falls to 0.
        l0_coefficient: jumprelu alone: the price of one active feature in units of the variance, in place of a
            target; None aims at `active`.
        target_weight: weight of (L0 / active - 1)^2 against the unexplained share of the variance.
        bandwidth: width e of the straight-through ramp, in the same units as the inputs.
        dead_after: steps without firing after which a feature counts as dead; revive_every: steps between revivals,
            which end when half the steps are done, so that every feature has time to settle.
    """

    kind: TrainedKind
    features: int
    active: float
    steps: int
    batch: int = 1024
    seed: int = 0
    learning_rate: float = 2e-3
    warmup: float = 0.02
    decay: float = 0.4
    l0_coefficient: float | None = None
    target_weight: float = 1.0
    bandwidth: float = 0.1
    dead_after: int = 100
    revive_every: int = 100

    def __post_init__(self):
        if self.kind not in TRAINED_KINDS:
            raise ValueError(f"kind: got {self.kind!r}; needs one of {', '.join(TRAINED_KINDS)}")
        for name in ("features", "steps", "batch", "dead_after", "revive_every"):
            integer(getattr(self, name), name, 1)
        seed(self.seed)
        for name in ("active", "learning_rate", "target_weight", "bandwidth"):
            real(getattr(self, name), name, 0)
        for name in ("warmup", "decay"):
            real(getattr(self, name), name, 0, 1)
        if not 0 < self.active < self.features:
            raise ValueError(
                f"active: got {self.active:g} of {self.features} features; needs more than 0 and fewer than all"
            )
        if self.kind == "topk" and self.active != int(self.active):
            raise ValueError(f"active: got k = {self.active:g} for topk; needs a whole number")
        if self.l0_coefficient is not None and (self.kind != "jumprelu" or not 0 < self.l0_coefficient < math.inf):
            raise ValueError(
                f"l0_coefficient: got {self.l0_coefficient:g} for {self.kind}; needs a positive price, and jumprelu"
            )

    def rate(self) -> Callable:
        """The learning rate by step: up, flat, down to 0."""
        up, down = int(self.warmup * self.steps), int(self.decay * self.steps)
        return optax.join_schedules(
            [
                optax.linear_schedule(0.0, self.learning_rate, max(up, 1)),
                optax.constant_schedule(self.learning_rate),
                optax.linear_schedule(self.learning_rate, 0.0, max(down, 1)),
            ],
            [up, self.steps - down],
        )
