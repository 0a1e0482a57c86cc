"""The result of one contrast in one group on one outcome, for all features: what effects and the causal rule share.

Shapes: every number [F].
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from causeway.engine.analyses.patch_sweep.contrasts import Contrast
from causeway.engine.analyses.patch_sweep.estimates import Estimate

ALL = "all"
CONFOUNDED = "confounded: the arm has the dictionary's reconstruction error, the baseline has not"
# (outcome, contrast, group)
Key = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Result:
    """Estimate, test and correction.

    Attributes:
        estimate: effect and interval. selection: p and its own effect from the other half, when prompts were split.
        q: [F], or None outside the family. family_size: tests corrected together.
    """

    contrast: Contrast
    group: str
    outcome: str
    estimate: Estimate
    selection: Estimate | None
    q: Float[np.ndarray, " F"] | None = None
    family_size: int = 0

    @property
    def tested(self) -> Estimate:
        """Where the p value comes from."""
        return self.estimate if self.selection is None else self.selection

    def names(self) -> dict[str, str]:
        """Columns that are the same for every feature."""
        notes = [CONFOUNDED] if self.contrast.confounded else []
        notes += [e.note for e in (self.estimate, self.selection) if e is not None and e.note]
        return {
            "contrast": self.contrast.name,
            "arm": str(self.contrast.arm),
            "reference": str(self.contrast.reference),
            "role": self.contrast.role,
            "group": self.group,
            "outcome": self.outcome,
            "interval": self.estimate.interval,
            "unit": self.estimate.unit,
            "test": self.tested.test,
            "note": "; ".join(dict.fromkeys(notes)),
        }

    def numbers(self) -> dict[str, np.ndarray]:
        """Columns of [F]. Without a split the two halves are the same prompts."""
        features = len(self.estimate.effect)
        return {
            "n_prompts": self.estimate.prompts,
            "n_trials": self.estimate.trials,
            "n_distinct": self.estimate.distinct,
            "effect": self.estimate.effect,
            "low": self.estimate.low,
            "high": self.estimate.high,
            "p": self.tested.p,
            "q": np.full(features, np.nan) if self.q is None else self.q,
            "family_size": np.full(features, self.family_size, dtype=np.int64),
            "n_prompts_selection": self.tested.prompts,
            "effect_selection": self.tested.effect,
        }
