"""What a study's own rule would declare of features that do nothing, against what it did declare.

Of a context with a baseline rate p_0 and n_1, n_2 trials under baseline and patch, the rule calls a feature that does
nothing causal with the probability

    a(s) = sum over k_1, k_2 of  Binomial(k_1; n_1, p_0) Binomial(k_2; n_2, p_0 + s) [the rule calls (k_1, k_2) causal]

at s = 0; and at s, the shift that all patched arms have in common. Such a shift is what the dictionary's
reconstruction error makes, which a baseline without a dictionary has not, and a no-op arm would show it apart. It is
estimated as the mean of the middle half of the features' differences (patched less baseline), which the effects of a
quarter on either side do not move; their median is told too, but counts of few trials have few values. A feature
declared in either context is so with 1 - (1 - a_safe)(1 - a_risky).

Of F features that do nothing, with baselines of their own, Binomial(F, a) are declared. Where all share one baseline,
as in a sweep that ran it once, they are declared together or not at all: given its count k_1 the number is Binomial(F,
a(k_1)), so that over baselines it varies much more, which `most_by_chance` takes into account.

The baseline rate is that of all features' baselines together, for they answer the same prompts. Prompts that differ
make sums of trials vary less than Binomial, so that a is then a little too large; arms that share random numbers vary
together, with the same end.

Shapes: F features; tables of (n_1 + 1)(n_2 + 1) counts. Cost: one table for each distinct (n_1, n_2); with a shared
baseline, F log F steps over the (n_1 + 1)^2 pairs of both contexts' counts at most.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from scipy import stats

from causeway.engine.analyses.as_published.causal_rule import RULES, OriginalRule, RuleCounts, decide, rule_counts
from causeway.engine.earlier_results import CONTEXTS, EVERY
from causeway.engine.stats.proportions import CountPair

# Of the features' differences, cut at either end before their mean is taken.
TRIM = 0.25
# Bound of the number that chance declares in 39 of 40 studies.
CHANCE = 0.975


def calibration(features: pa.Table, responses: pa.Table, tested: int = 0) -> dict[str, Any]:
    """Declared features against those that chance and a common shift would give.

    Args:
        features: `FEATURES`. responses: `RESPONSES`, each trial once, with both contexts and both patches.
        tested: how many features the study says that it tested, where it reports fewer.

    Returns:
        rule (the version that agrees best), agreement of each version, tested, declared; then for every context p_0,
        rate (a at no shift), shift with its standard error, median, rate_under_shift; and over both expected,
        most_by_chance (bound of 39 in 40 studies), expected_under_shift. Declared is of features with responses.

    Raises:
        ValueError: an arm or a context of the rule is not there, or no response has a parsed action.
    """
    if responses["action"].null_count == responses.num_rows:
        raise ValueError("responses: none has a parsed action, which the study's rule counts")
    trials = as_trials(responses)
    counts = {name: rule_counts(trials, rule) for name, rule in RULES.items()}
    declared = _declared(features, counts["v1"])
    known = ~np.isnan(declared)
    agreement = {
        name: float(np.mean(_either(found, RULES[name])[known] == declared[known])) if known.any() else None
        for name, found in counts.items()
    }
    best = max(agreement, key=lambda name: agreement[name] or 0.0)
    contexts = {name: _context(counts[best], name, RULES[best]) for name in CONTEXTS}
    tested = max(tested, len(counts[best].layer))
    shared = pc.and_(pc.equal(responses["feature"], EVERY), pc.equal(responses["arm"].cast(pa.string()), "baseline"))
    over_both = _over_both(contexts, tested)
    if pc.any(shared).as_py():
        each = [_shared_baseline(counts[best].tables[name], contexts[name], RULES[best]) for name in CONTEXTS]
        over_both["most_by_chance"] = most_declared(tested, each)
    return {
        "rule": best, "agreement": agreement, "tested": tested, "declared": int(np.nansum(declared)),
        "not_told": int((~known).sum()), "contexts": contexts, **over_both,
    }  # fmt: skip


def flag_rate(rule: OriginalRule, n_1: int, n_2: int, rate: float, shift: float = 0.0) -> float:
    """a(s): how often the rule calls a feature that does nothing causal in one context."""
    return float(np.dot(*_by_baseline(rule, n_1, n_2, rate, shift)))


def most_declared(features: int, contexts: Sequence[tuple[np.ndarray, np.ndarray]]) -> int:
    """The number of null features that is not exceeded with probability `CHANCE`, where all share their baselines.

    Args:
        features: how many there are. contexts: of each, the weights of its baseline's counts, and the rate given each.
    """
    weights, passed = np.ones(1), np.ones(1)
    for own, rates in contexts:
        weights, passed = np.outer(weights, own).ravel(), np.outer(passed, 1 - rates).ravel()
    kept = weights > 1e-9
    weights, declared = weights[kept] / weights[kept].sum(), 1 - passed[kept]
    low, high = 0, features
    while low < high:
        middle = (low + high) // 2
        reached = weights @ stats.binom.cdf(middle, features, declared) >= CHANCE
        low, high = (low, middle) if reached else (middle + 1, high)
    return low


def _by_baseline(
    rule: OriginalRule, n_1: int, n_2: int, rate: float, shift: float = 0.0
) -> tuple[Float[np.ndarray, " counts"], Float[np.ndarray, " counts"]]:
    """Of each count k_1 of the baseline: its probability, and how often the rule then calls a null feature causal."""
    k_1, k_2 = (grid.ravel() for grid in np.meshgrid(np.arange(n_1 + 1), np.arange(n_2 + 1), indexing="ij"))
    found = decide(CountPair(k_1, np.full_like(k_1, n_1), k_2, np.full_like(k_2, n_2)), rule)
    causal = found.causal.reshape(n_1 + 1, n_2 + 1).astype(np.float64)
    weights = (stats.binom.pmf(np.arange(n + 1), n, p) for n, p in ((n_1, rate), (n_2, np.clip(rate + shift, 0, 1))))
    first, second = weights
    return first, causal @ second


def _context(counts: RuleCounts, context: str, rule: OriginalRule) -> dict[str, Any]:
    table = counts.tables[context]
    seen = (table.trials_1 > 0) & (table.trials_2 > 0)
    k_1, n_1, k_2, n_2 = (column[seen] for column in table)
    if not len(n_1):
        raise ValueError(f"responses: no feature has trials of the {context} context under baseline and patch")
    rate = float(k_1.sum() / n_1.sum())
    differences = k_2 / n_2 - k_1 / n_1
    shift = float(stats.trim_mean(differences, TRIM))
    return {
        "outcome": "stop" if context == rule.safe else f"bet above {rule.large_bet:g}",
        "baseline_rate": rate,
        "rate": _mean_rate(rule, n_1, n_2, rate),
        "shift": shift,
        "shift_error": _error(differences),
        "median": float(np.median(differences)),
        "rate_under_shift": _mean_rate(rule, n_1, n_2, rate, shift),
    }


def _shared_baseline(table: CountPair, told: Mapping[str, Any], rule: OriginalRule) -> tuple[np.ndarray, np.ndarray]:
    """Of one context: of each count of its baseline the probability, and the rate given it, at the usual n_2."""
    return _by_baseline(rule, int(table.trials_1.max()), int(np.median(table.trials_2)), told["baseline_rate"])


def _mean_rate(rule: OriginalRule, n_1: np.ndarray, n_2: np.ndarray, rate: float, shift: float = 0.0) -> float:
    """a over the features' numbers of trials."""
    pairs, times = np.unique(np.stack([n_1, n_2], axis=1), axis=0, return_counts=True)
    rates = [flag_rate(rule, int(a), int(b), rate, shift) for a, b in pairs]
    return float(np.average(rates, weights=times))


def _error(differences: Float[np.ndarray, " F"]) -> float | None:
    """Standard error of the mean of the middle half; None of one feature."""
    if len(differences) < 2:
        return None
    return float(stats.mstats.trimmed_stde(differences, limits=(TRIM, TRIM)))


def _over_both(contexts: dict[str, dict[str, Any]], tested: int) -> dict[str, Any]:
    chance, shifted = (
        1 - np.prod([1 - context[name] for context in contexts.values()]) for name in ("rate", "rate_under_shift")
    )
    return {
        "rate": float(chance),
        "expected": float(tested * chance),
        "most_by_chance": int(stats.binom.ppf(CHANCE, tested, chance)),
        "rate_under_shift": float(shifted),
        "expected_under_shift": float(tested * shifted),
    }


def _either(counts: RuleCounts, rule: OriginalRule) -> np.ndarray:
    found = [decide(counts.tables[c], rule, counts.cross[c].trials_2 >= rule.least_trials) for c in CONTEXTS]
    return np.any([decisions.causal for decisions in found], axis=0)


def _declared(features: pa.Table, counts: RuleCounts) -> Float[np.ndarray, " F"]:
    """Of features with responses: 1 where it is declared causal by the study's rule, 0 where not, NaN not told."""
    either = [features["is_causal_safe"], features["is_causal_risky"]]
    if either[0].null_count == features.num_rows:
        either = [features["is_causal"]]
    told = np.max([_numbers(column) for column in either], axis=0) if features.num_rows else np.zeros(0)
    keys = zip(features["layer"].to_pylist(), features["feature"].to_pylist(), strict=True)
    by_pair = dict(zip(keys, told.tolist(), strict=True))
    pairs = zip(counts.layer.tolist(), counts.feature.tolist(), strict=True)
    return np.array([by_pair.get(pair, np.nan) for pair in pairs])


def _numbers(column: pa.ChunkedArray) -> Float[np.ndarray, " rows"]:
    return pc.cast(column, pa.float64()).to_numpy()


def as_trials(responses: pa.Table) -> pa.Table:
    """The columns that the rule reads, under the names it reads them by."""
    prompt = responses["prompt"].cast(pa.string())
    number = pc.index_in(prompt, value_set=pc.unique(prompt))
    return pa.table({
        "prompt_id": number, "group": responses["context"], "layer": responses["layer"],
        "feature": responses["feature"], "arm": responses["arm"], "action": responses["action"],
        "amount": responses["amount"],
    })  # fmt: skip
