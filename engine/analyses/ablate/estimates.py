"""How much each substitution changes, over prompts, and what that says of the criteria.

The prompt is the unit. Changes of means (logit difference, nats; KL, nats) have intervals and tests of `stats.paired`,
changes of accuracy those of `stats.proportions.paired_share`. q is over all substitutions of one outcome in one place
(output space, or live). KL is never below 0, so there is no test of it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine.analyses.ablate.outcomes import Outcomes
from causeway.engine.stats.multiple import Method, adjust
from causeway.engine.stats.paired import paired_mean
from causeway.engine.stats.proportions import paired_share

OUTPUT, LIVE = "output", "live"
ACCURACY, DIFFERENCE, KL = "accuracy", "logit_difference", "kl"
COLUMNS = ("clean", "value", "effect", "low", "high", "p", "q")
SCHEMA = pa.schema([
    ("place", pa.string()), ("substitution", pa.string()), ("outcome", pa.string()), ("prompts", pa.int32()),
    *((name, pa.float64()) for name in COLUMNS),
])  # fmt: skip


def table(
    clean: Outcomes, places: Mapping[str, Mapping[str, Outcomes]], correction: Method = "bh"
) -> pa.Table:  # fmt: skip
    """A row for each substitution and outcome.

    Args:
        clean: the model as it is. places: substitutions by place.
    """
    rows = [row for place, found in places.items() for row in _rows(place, clean, found, correction)]
    columns = {field.name: [row[field.name] for row in rows] for field in SCHEMA}
    return pa.table({name: pa.array(c, SCHEMA.field(name).type, from_pandas=True) for name, c in columns.items()})


def _rows(
    place: str, clean: Outcomes, found: Mapping[str, Outcomes], correction: Method
) -> list[dict[str, Any]]:  # fmt: skip
    names, count = list(found), len(clean.difference)
    right = paired_share(clean.right, np.stack([found[name].right for name in names]))
    moved = paired_mean(np.stack([found[name].difference - clean.difference for name in names]))
    apart = paired_mean(np.stack([found[name].kl for name in names]))
    nothing = np.full(len(names), np.nan)
    outcomes: list[tuple[str, Any, Float[np.ndarray, " n"], float]] = [
        (ACCURACY, right, right.p, float(clean.right.mean())),
        (DIFFERENCE, moved, moved.p, float(clean.difference.mean())),
        (KL, apart, nothing, 0.0),
    ]
    made = []
    for outcome, change, p, before in outcomes:
        q = adjust(p, correction).q
        for i, name in enumerate(names):
            numbers = {"effect": change.effect[i], "low": change.low[i], "high": change.high[i], "p": p[i], "q": q[i]}
            values = {"clean": before, "value": before + change.effect[i], **numbers}
            made.append({"place": place, "substitution": name, "outcome": outcome, "prompts": count, **values})
    return made


def agreement(
    clean: Outcomes, output: Mapping[str, Outcomes], live: Mapping[str, Outcomes]
) -> dict[str, dict[str, float | None]]:  # fmt: skip
    """How changes of the logit difference in the output space go with those in the model, over prompts."""
    found = {}
    for name in live:
        one, other = output[name].difference - clean.difference, live[name].difference - clean.difference
        varies = min(len(one), np.ptp(one), np.ptp(other)) > 0
        found[name] = {
            "correlation": float(np.corrcoef(one, other)[0, 1]) if varies else None,
            "sign_agreement": float((np.sign(one) == np.sign(other)).mean()),
            "mean_output": float(one.mean()), "mean_live": float(other.mean()),
        }  # fmt: skip
    return found


@dataclasses.dataclass(frozen=True)
class Criterion:
    """A figure beside what the original plan asks of it.

    Attributes:
        name: what it is. value, low, high: with its interval over prompts, NaN where the prompts cannot tell.
        bound: of the criterion; None where there is none. below: whether the figure is to be below it.
        note: what has to be known of it.
    """

    name: str
    value: float
    low: float
    high: float
    bound: float | None = None
    below: bool = True
    note: str = ""

    @property
    def verdict(self) -> str:
        """met, not met, or cannot tell: by the whole interval."""
        if self.bound is None:
            return ""
        if np.isnan([self.low, self.high]).any():
            return "cannot tell"
        inside, outside = self.high < self.bound, self.low > self.bound
        met, failed = (inside, outside) if self.below else (outside, inside)
        return "met" if met else "not met" if failed else "cannot tell"

    def as_json(self) -> dict[str, Any]:
        """For files."""
        return {**dataclasses.asdict(self), "verdict": self.verdict}

    def line(self) -> str:
        """For people."""
        interval = "" if np.isnan(self.low) else f" [{self.low:.1%}, {self.high:.1%}]"
        asked = "" if self.bound is None else f"; {'below' if self.below else 'above'} {self.bound:.0%}: {self.verdict}"
        return f"{self.name}: {self.value:.1%}{interval}{asked}" + (f" ({self.note})" if self.note else "")


def of_shares(name: str, shares: Float[np.ndarray, " P"], bound: float, *, below: bool, note: str = "") -> Criterion:
    """A mean share over prompts beside its bound."""
    found = paired_mean(np.asarray(shares, np.float64)[None])
    low, high = float(found.low[0]), float(found.high[0])
    if np.ptp(shares) == 0:  # the same on every prompt, as where all layers are chosen
        low = high = float(shares[0])
    return Criterion(name, float(found.effect[0]), low, high, bound, below, note)


def drop_of(rows: Sequence[Mapping[str, Any]], substitution: str, bound: float | None) -> Criterion:
    """The drop of accuracy of a substitution in the output space."""
    row = next(
        row for row in rows if (row["place"], row["substitution"], row["outcome"]) == (OUTPUT, substitution, ACCURACY)
    )
    value, low, high = (0.0 - row[name] for name in ("effect", "high", "low"))
    return Criterion(f"accuracy drop, {substitution}", value, low, high, bound)
