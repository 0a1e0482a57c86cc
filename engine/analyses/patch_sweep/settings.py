"""How a patching sweep is run."""

import dataclasses
from typing import Any, Literal

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.analyses.patch_sweep.recording import Recording
from causeway.engine.intervention.hold import AnyHolds
from causeway.engine.model.sampling import Sampling
from causeway.engine.outcome.parsers import parser

Outcome = Literal["exact", "sampled"]


@dataclasses.dataclass(frozen=True)
class SweepSettings:
    """How a sweep is run.

    Attributes:
        outcome: exact or sampled. arms: see `arms`. form: delta, or replace (the original study's
            reconstruction). scope: where edits act (`intervention.scope`). semantics: cached or recomputed.
        holds: what rows keep of their prompt's clean pass (`intervention.hold`).
        operation: what patches do with their values (`intervention.operations`): set, add, scale, inhibit, at_most or
            at_least. Others take no value of a group; arms are there for 0 and for a feature's own.
        trials: rollouts of each arm. sampling, max widths: of rollouts. stop_texts: texts that end one, beside the stop
            tokens of `sampling`. parser: how an answer is read.
        rows: row bucket a device. unit_buckets: buckets a unit. recording: what is kept at every token.
        narrower: (prompt, rows): from that prompt on, counted as listed, rows go in buckets of that many (`buckets`).
    """

    outcome: Outcome
    arms: tuple[Arm, ...]
    form: Literal["delta", "replace"] = "delta"
    holds: AnyHolds = "open"
    operation: str = "set"
    scope: str = "last_prompt"
    semantics: Literal["cached", "recomputed"] = "cached"
    trials: int = 1
    seed: int = 0
    rows: int = 64
    unit_buckets: int = 8
    segments: tuple[int, ...] = (16,)
    sampling: Sampling = dataclasses.field(default_factory=Sampling)
    stop_texts: tuple[str, ...] = ()
    parser: str = "answers"
    recording: Recording = dataclasses.field(default_factory=Recording)
    narrower: tuple[tuple[int, int], ...] = ()

    def __post_init__(self):
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: got {getattr(self, name)!r}; needs one of {', '.join(allowed)}")
        if self.operation != "set" and any(arm.kind == "dose" for arm in self.arms):
            raise ValueError(
                f"operation: got {self.operation} with doses, which lead from a feature's own value to the one that it "
                "is set to; leave the arm dose out"
            )
        scalars.seed(self.seed)
        for name in ("trials", "rows", "unit_buckets"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}; needs at least 1")
        if self.outcome == "exact" and self.trials != 1:
            raise ValueError(f"trials: got {self.trials} with the exact outcome, which has no sampling noise; use 1")
        if self.trials > 1 and (self.sampling.temperature == 0 or self.sampling.top_k == 1):
            raise ValueError(f"trials: got {self.trials} with greedy sampling, which repeats one rollout; use 1")
        if self.outcome == "exact" and (self.recording.reader or self.recording.top_logits):
            raise ValueError("record_features: recorded at generated tokens; use the sampled outcome")
        if self.outcome == "exact" and self.semantics == "recomputed":
            raise ValueError("semantics: recomputed concerns generated tokens; the exact outcome is cached")
        parser(self.parser)

    def bucket(self, prompt: int) -> int:
        """Row bucket a device of a prompt, counted as listed."""
        return next((rows for first, rows in reversed(self.narrower) if prompt >= first), self.rows)

    def describe(self) -> dict[str, Any]:
        """JSON-able description for the plan; one that has but one bucket does not speak of others."""
        told = dataclasses.asdict(self) | {"arms": list(map(str, self.arms)), "recording": self.recording.describe()}
        return told if self.narrower else {name: value for name, value in told.items() if name != "narrower"}


_CHOICES = {
    "outcome": ("exact", "sampled"), "form": ("delta", "replace"), "semantics": ("cached", "recomputed"),
    "operation": ("set", "add", "scale", "inhibit", "at_most", "at_least"),
}  # fmt: skip
