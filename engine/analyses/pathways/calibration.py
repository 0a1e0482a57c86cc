"""Do predictions hold: what gradients say of pairs against what setting the sources does.

    slope      sum(predicted x measured) / sum(predicted^2) over pairs: 1 where changes are as large as predicted
    spearman   rank correlation of the two over pairs
    sign       share of pairs that move as predicted, of those where both are other than 0

of all pairs, of the selected and of the random stratum, each with a 95 % percentile interval over resamples of prompts
and pairs at once: both are samples. Shapes: K pairs, P prompts, R resamples. Cost: R K P.
"""

import numpy as np
from jaxtyping import Float

from causeway.engine.stats.agreement import agreement

RESAMPLES, FEWEST = 400, 8
_PURPOSE = 21
NAMES = ("slope", "spearman", "sign")


def calibration(
    predicted: Float[np.ndarray, "K P"], measured: Float[np.ndarray, "K P"], strata: np.ndarray, seed: int = 0
) -> dict[str, dict[str, float | int | None]]:
    """Slope, rank correlation and sign agreement with their intervals, by stratum; None of what is not to be had."""
    found = {"all": _of(predicted, measured, seed)}
    for name in sorted(set(strata.tolist())):
        mine = strata == name
        found[name] = _of(predicted[mine], measured[mine], seed)
    return found


def _of(predicted: np.ndarray, measured: np.ndarray, seed: int) -> dict[str, float | int | None]:
    pairs, prompts = predicted.shape
    values = agreement(predicted.mean(axis=1), measured.mean(axis=1))
    rng, drawn = np.random.default_rng((seed, _PURPOSE)), np.full((RESAMPLES, len(NAMES)), np.nan)
    if min(pairs, prompts) >= FEWEST:
        for number in range(RESAMPLES):
            own, weights = rng.integers(pairs, size=pairs), rng.multinomial(prompts, np.full(prompts, 1 / prompts))
            drawn[number] = agreement(predicted[own] @ weights / prompts, measured[own] @ weights / prompts)
    out: dict[str, float | int | None] = {"pairs": pairs}
    for place, name in enumerate(NAMES):
        known = drawn[~np.isnan(drawn[:, place]), place]
        low, high = np.quantile(known, [0.025, 0.975]) if len(known) >= RESAMPLES // 2 else (np.nan, np.nan)
        out |= {name: _number(values[place]), f"{name}_low": _number(low), f"{name}_high": _number(high)}
    return out


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
