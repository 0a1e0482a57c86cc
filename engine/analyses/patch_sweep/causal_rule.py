"""When a feature is called causal: five criteria, each its own column, decided on the prompts of all contexts.

    q         q < alpha over the family of features x contrasts
    effect    on prompts that did not select it: |effect| > tau, its interval on one side of 0, with the sign it had
              where it was selected                                               (needs prompts in two halves)
    envelope  |effect| is beyond the 95 % envelope of random features             (needs random arms)
    sign      the effect has one sign in every context                            (needs two contexts or more)
    dose      the outcome rises or falls steadily with the dose                   (needs a dose ladder of three or more)

A feature is causal when the first three hold and so do those of the others that could be evaluated, and not causal when
any that was evaluated fails. Where none fails and one of the first three could not be evaluated, `is_causal` is null:
it cannot be told. No test over a few dozen prompts is safe against every skew: with lognormal differences and 400
features that do nothing, q falls below 0.05 in a third of sweeps, on all prompts or on half of them. The other half
does not repeat it, and random features share it, so nothing is called causal without both; then no sweep of 80 has a
false one (`tests/engine/analyses/patch_sweep/test_effects_skewed.py`). Criteria that were not evaluated are listed in
`not_evaluated`.

The envelope of a layer is the conformal quantile of |effect| over the layer's random controls in the same contrast:
the ceil(0.95 (n + 1))-th smallest of n, so that a feature no different from random ones exceeds it with probability at
most 5 %. A layer with fewer than 19 controls borrows those of all layers.

Steadiness is |Spearman's rho| >= 0.8 between dose and mean outcome. Its sign is free: whether the outcome rises with
the value says nothing about whether the patched value was above or below the feature's own. Two ladders may go
opposite ways, and do where a feature's own value lies between the two values. Shapes: [F]. Cost: sorting.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from scipy import stats

from causeway.engine.analyses.patch_sweep.cells import AMOUNT, LOG_ODDS
from causeway.engine.analyses.patch_sweep.contrasts import Contrast
from causeway.engine.analyses.patch_sweep.effect_results import ALL, Key, Result
from causeway.engine.stats.conformal import conformal_bound

NEEDED = ("q", "effect", "envelope")
CRITERIA = (*NEEDED, "sign", "dose")
FEWEST_DOSES = 3
# Differences between dose steps below this share of the curve's range are rounding, not steps.
FLAT = 1e-6


@dataclasses.dataclass(frozen=True)
class CausalRule:
    """Thresholds.

    Attributes:
        alpha: bound on q.
        tau: least |effect| on a probability; on log odds 4 tau nats, by which a probability of 0.5 moves by tau.
        tau_amount: least |effect| on an amount, in its own units.
        envelope: share of random features inside the envelope.
        least_rho: least |Spearman's rho| of a dose ladder.
    """

    alpha: float = 0.05
    tau: float = 0.05
    tau_amount: float = 1.0
    envelope: float = 0.95
    least_rho: float = 0.8

    def __post_init__(self):
        for name in ("alpha", "envelope"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}; needs a number above 0 and below 1")

    def threshold(self, outcome: str) -> float:
        """tau in the outcome's units."""
        return {AMOUNT: self.tau_amount, LOG_ODDS: 4 * self.tau}.get(outcome, self.tau)


@dataclasses.dataclass(frozen=True)
class Criterion:
    """Whether it holds, and whether it could be evaluated at all."""

    holds: Bool[np.ndarray, " F"]
    evaluated: Bool[np.ndarray, " F"]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Decisions on all features of one contrast and outcome.

    Attributes:
        criteria: by name. envelope: [F] bound of the random features. dose_rho: [F] least steady ladder's rho.
    """

    criteria: Mapping[str, Criterion]
    envelope: Float[np.ndarray, " F"]
    dose_rho: Float[np.ndarray, " F"]
    decided: bool = True

    @classmethod
    def absent(cls, features: int) -> "Verdict":
        """Nothing decided: for contrasts that are controls, and for single contexts."""
        no = np.zeros(features, dtype=bool)
        nan = np.full(features, np.nan)
        return cls({name: Criterion(no, no) for name in CRITERIA}, nan, nan, decided=False)

    @property
    def fails(self) -> Bool[np.ndarray, " F"]:
        """A criterion was evaluated and does not hold."""
        return np.any([c.evaluated & ~c.holds for c in self.criteria.values()], axis=0)

    @property
    def told(self) -> Bool[np.ndarray, " F"]:
        """Whether it can be told: something fails, or all that is needed was evaluated."""
        return self.fails | np.all([self.criteria[name].evaluated for name in NEEDED], axis=0)

    @property
    def is_causal(self) -> Bool[np.ndarray, " F"]:
        """All that is needed holds and nothing fails."""
        return self.told & ~self.fails

    def columns(self) -> dict[str, pa.Array]:
        """Columns of the effects table; null where not evaluated or not decided."""
        undecided = np.full(len(self.envelope), not self.decided)
        columns = {
            f"criterion_{name}": pa.array(c.holds, pa.bool_(), mask=~c.evaluated) for name, c in self.criteria.items()
        }
        return columns | {
            "envelope": pa.array(self.envelope, pa.float64(), from_pandas=True),
            "dose_rho": pa.array(self.dose_rho, pa.float64(), from_pandas=True),
            "is_causal": pa.array(self.is_causal, pa.bool_(), mask=undecided | ~self.told),
            "not_evaluated": pa.array(self._not_evaluated(), pa.string(), mask=undecided),
        }

    def _not_evaluated(self) -> np.ndarray:
        """Names of the criteria that were not evaluated, joined; one text for each of the 32 possible sets."""
        code = sum((~self.criteria[name].evaluated).astype(np.int64) << i for i, name in enumerate(CRITERIA))
        texts = [", ".join(n for i, n in enumerate(CRITERIA) if k >> i & 1) for k in range(1 << len(CRITERIA))]
        return np.asarray(texts, dtype=object)[code]


def decide(
    results: Mapping[Key, Result],
    outcome: str,
    contrast: Contrast,
    contrasts: Sequence[Contrast],
    layer: Int[np.ndarray, " F"],
    rule: CausalRule,
) -> Verdict:
    """Applies the rule to one contrast and outcome.

    Args:
        results: of all contrasts and groups of this outcome.
        contrast: a contrast of the family.
        contrasts: all of them; controls and dose ladders are looked up here.
        layer: the layer of each feature.
    """
    result = results[outcome, contrast.name, ALL]
    effect = result.estimate.effect
    q = np.full(len(effect), np.nan) if result.q is None else result.q
    controls = [results[outcome, c.name, ALL].estimate.effect for c in contrasts if c.is_control_of(contrast)]
    bound = envelope(np.abs(np.asarray(controls)), layer, rule.envelope) if controls else np.full(len(effect), np.nan)
    rho, steady = _dose_response(results, outcome, contrast, contrasts, rule.least_rho)
    known = ~np.isnan(effect)
    with np.errstate(invalid="ignore"):
        criteria = {
            "q": Criterion(q < rule.alpha, ~np.isnan(q)),
            "effect": _size(result, rule.threshold(outcome)),
            "envelope": Criterion(np.abs(effect) > bound, known & ~np.isnan(bound)),
            "sign": _sign(results, outcome, contrast),
            "dose": steady,
        }
    return Verdict(criteria, bound, rho)


def _size(result: Result, tau: float) -> Criterion:
    """Large enough and, by its interval, not 0, on other prompts than selected it; what is too small is so anyway."""
    effect, low, high = result.estimate.effect, result.estimate.low, result.estimate.high
    large = (np.abs(effect) > tau) & (np.sign(result.tested.effect) == np.sign(effect))
    seen = ~np.isnan(low) & (result.selection is not None)
    return Criterion(large & ((low > 0) | (high < 0)), ~np.isnan(effect) & (~large | seen))


def envelope(controls: Float[np.ndarray, "C F"], layer: Int[np.ndarray, " F"], share: float) -> Float[np.ndarray, " F"]:
    """Bound that |effect| of a random feature stays below with probability `share`, layer by layer.

    Args:
        controls: |effect| of the random controls, C draws or values for each feature; NaN where one was not run.
        layer: layer of each feature.

    Returns:
        [F]; NaN where even all layers together have too few controls.
    """
    bound = np.full(len(layer), conformal_bound(controls.reshape(-1, 1), share)[0])
    for at in np.unique(layer):
        own = conformal_bound(controls[:, layer == at].reshape(-1, 1), share)[0]
        if not np.isnan(own):
            bound[layer == at] = own
    return bound


def _sign(results: Mapping[Key, Result], outcome: str, contrast: Contrast) -> Criterion:
    """One sign in all contexts; a feature missing in a context is not evaluated."""
    contexts = [r for (o, c, g), r in results.items() if o == outcome and c == contrast.name and g != ALL]
    features = len(results[outcome, contrast.name, ALL].estimate.effect)
    if len(contexts) < 2:
        return Criterion(np.zeros(features, dtype=bool), np.zeros(features, dtype=bool))
    signs = np.sign(np.stack([r.estimate.effect for r in contexts]))
    return Criterion((signs == signs[0]).all(axis=0) & (signs[0] != 0), ~np.isnan(signs).any(axis=0))


def _dose_response(
    results: Mapping[Key, Result], outcome: str, contrast: Contrast, contrasts: Sequence[Contrast], least_rho: float
) -> tuple[Float[np.ndarray, " F"], Criterion]:
    """The least steady rho over the contrast's ladders, and whether all are steady."""
    features = len(results[outcome, contrast.name, ALL].estimate.effect)
    rhos = []
    for value in contrast.values:
        steps = sorted((c for c in contrasts if c.role == "dose" and c.values == (value,)), key=lambda c: c.arm.dose)
        if len(steps) >= FEWEST_DOSES:
            curve = np.stack([results[outcome, c.name, ALL].estimate.effect for c in steps])
            rhos.append(monotone(curve))
    if not rhos:
        return np.full(features, np.nan), Criterion(np.zeros(features, dtype=bool), np.zeros(features, dtype=bool))
    # A flat ladder (the value is the feature's own already) says nothing; the others decide.
    table = np.stack(rhos)
    said = ~np.isnan(table) & (table != 0)
    weakest = table[np.argmin(np.where(said, np.abs(table), np.inf), axis=0), np.arange(features)]
    steady = np.where(said, np.abs(table) >= least_rho, True).all(axis=0) & said.any(axis=0)
    return weakest, Criterion(steady, ~np.isnan(table).all(axis=0))


def monotone(curve: Float[np.ndarray, "Q F"]) -> Float[np.ndarray, " F"]:
    """Spearman's rho between dose and outcome.

    Args:
        curve: effects in order of dose.

    Returns:
        [F] in [-1, 1]; 0 for a flat curve, NaN where a step is missing.
    """
    reach = np.ptp(curve, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = np.where(reach > 0, np.round(curve / (reach * FLAT)), 0.0)
        ranks = stats.rankdata(steps, axis=0)
        centred = ranks - ranks.mean(axis=0)
        dose = np.arange(len(curve)) - (len(curve) - 1) / 2
        size = np.sqrt(np.square(centred).sum(axis=0) * np.square(dose).sum())
        rho = np.where(size > 0, dose @ centred / size, 0.0)
    return np.where(np.isnan(reach), np.nan, rho)
