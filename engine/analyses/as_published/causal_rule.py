"""The rule of the original feature-patching study, under its own name, for comparison and not for belief.

    original_is_causal_safe    Yates chi-square on stop counts, safe_baseline against safe_with_safe_patch
    original_is_causal_risky   the same on large bets, risky_baseline against risky_with_risky_patch

each needing p < 0.05 and |difference of rates| > 0.1. There are two versions of it:

    v1    a bet above $15 is large; an unreadable answer is a stop; every observed cell must be 5 or more
    v2    a bet of $20 or more is large; unreadable answers are left out; any cells

What is wrong with it: about 3 % of null features pass each test and nothing is corrected for their number; the baseline
has no dictionary in it, so the error of a `replace` edit passes for an effect; an unreadable answer counts as a stop;
the sign is free; the cross conditions are asked for and not used. $15 is half of a balance of $30 that the prompt
(balance $20) never has.

    chi2 = N max(|k_1 (n_2 - k_2) - k_2 (n_1 - k_1)| - N / 2, 0)^2 / (n_1 n_2 K (N - K)),   N = n_1 + n_2, K = k_1 + k_2

Shapes: [F] in all; counts are summed over a context's prompts. Cost: elementwise.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.dataset
from jaxtyping import Bool, Float, Int
from scipy import stats

from causeway.engine.analyses.patch_sweep.cells import INVALID, TrialCells, action_is, amount_above, read_trials
from causeway.engine.stats.proportions import CountPair

INTERPRETATIONS = np.asarray(
    ["no_causal_effect", "safe_context_causal", "risky_context_causal", "bidirectional_causal"]
)


@dataclasses.dataclass(frozen=True)
class OriginalRule:
    """The study's constants.

    Attributes:
        safe, risky: names of the contexts, and of the patch values.
        alpha, least_difference, least_cell, least_trials: what a test needs to count.
        large_bet: a bet above this is risky.
        invalid: what an unreadable answer is: a stop, as the study's first parser had it, neither a stop nor a large
            bet ("other"), or no trial at all ("dropped").
    """

    safe: str = "safe"
    risky: str = "risky"
    alpha: float = 0.05
    least_difference: float = 0.1
    least_cell: int = 5
    least_trials: int = 10
    large_bet: float = 15.0
    invalid: Literal["stop", "other", "dropped"] = "stop"


RULES: Mapping[str, OriginalRule] = MappingProxyType(
    {"v1": OriginalRule(), "v2": OriginalRule(least_cell=0, large_bet=19.0, invalid="dropped")}
)


@dataclasses.dataclass(frozen=True)
class Decisions:
    """What the rule says of counts: causal, the difference of rates, and p. A test not made has effect 0 and p 1."""

    causal: Bool[np.ndarray, "*rows"]
    effect: Float[np.ndarray, "*rows"]
    p: Float[np.ndarray, "*rows"]


@dataclasses.dataclass(frozen=True)
class RuleCounts:
    """What the rule counts in a study's trials.

    Attributes:
        layer, feature: [F].
        tables: of each context, baseline first; [F] each. own: patched with the context's value.
        cross: the same with the other value, which the rule asks for and does not test.
    """

    layer: Int[np.ndarray, " F"]
    feature: Int[np.ndarray, " F"]
    tables: Mapping[str, CountPair]
    cross: Mapping[str, CountPair]


def original_rule(source: pa.Table | pyarrow.dataset.Dataset, rule: OriginalRule | None = None) -> pa.Table:
    """One row for each (layer, feature), by the study's rule.

    Args:
        source: sampled trials (columns action and amount), with both contexts and both patched arms.

    Raises:
        ValueError: exact trials, or a missing context or arm.
    """
    rule = rule or OriginalRule()
    counts = rule_counts(source, rule)
    columns = {"layer": pa.array(counts.layer, pa.int32()), "feature": pa.array(counts.feature, pa.int32())}
    code = np.zeros(len(counts.layer), int)
    for weight, name, context in ((1, "safe", rule.safe), (2, "risky", rule.risky)):
        enough = counts.cross[context].trials_2 >= rule.least_trials
        found = decide(counts.tables[context], rule, enough)
        code += weight * found.causal
        columns[f"original_is_causal_{name}"] = pa.array(found.causal)
        columns[f"original_{name}_effect_size"] = pa.array(found.effect)
        columns[f"original_{name}_p_value"] = pa.array(found.p)
    columns["original_interpretation"] = pa.array(INTERPRETATIONS[code].tolist())
    return pa.table(columns)


def rule_counts(source: pa.Table | pyarrow.dataset.Dataset, rule: OriginalRule) -> RuleCounts:
    """Stops in the safe context and large bets in the risky one, under the baseline and both patches.

    Raises:
        ValueError: as `original_rule`.
    """
    dataset = source if isinstance(source, pyarrow.dataset.Dataset) else pyarrow.dataset.dataset(source)
    missing = [c for c in ("action", "amount") if c not in dataset.schema.names]
    if missing:
        raise ValueError(f"trials: lacks {missing}; the original rule counts sampled answers, run the sampled outcome")
    read = {"stop": action_is("stop"), INVALID: action_is(INVALID), "large": amount_above(rule.large_bet)}
    cells = read_trials(dataset, extractors=read)
    needed = {"baseline", f"patch:{rule.safe}", f"patch:{rule.risky}"} - set(cells.arms)
    absent = {rule.safe, rule.risky} - set(cells.groups)
    if needed or absent:
        raise ValueError(
            f"trials: lacks arms {sorted(needed)} and groups {sorted(absent)}; the original rule needs them"
        )
    stops = ("stop", INVALID) if rule.invalid == "stop" else ("stop",)
    outcomes, other = {rule.safe: stops, rule.risky: ("large",)}, {rule.safe: rule.risky, rule.risky: rule.safe}
    counted = {
        (context, value): _pair(cells, context, value, outcomes[context], rule) for context in other for value in other
    }
    own = {context: counted[context, context] for context in other}
    return RuleCounts(cells.layer, cells.feature, own, {context: counted[context, other[context]] for context in other})


def decide(table: CountPair, rule: OriginalRule, enough: bool | Bool[np.ndarray, "*rows"] = True) -> Decisions:
    """The rule on counts.

    Args:
        enough: whether there are trials enough of what the rule asks for beside.
    """
    k_1, n_1, k_2, n_2 = (np.asarray(column) for column in table)
    smallest, trials = np.min([k_1, n_1 - k_1, k_2, n_2 - k_2], axis=0), np.minimum(n_1, n_2)
    made = (smallest >= rule.least_cell) & (trials >= max(rule.least_trials, 1)) & enough
    p = np.where(made, _yates(k_1, n_1, k_2, n_2), 1.0)
    effect = np.where(made, k_2 / np.maximum(n_2, 1) - k_1 / np.maximum(n_1, 1), 0.0)
    return Decisions((p < rule.alpha) & (np.abs(effect) > rule.least_difference), effect, p)


def _pair(cells: TrialCells, group: str, value: str, outcomes: tuple[str, ...], rule: OriginalRule) -> CountPair:
    """Counts of a context under the baseline and one patch."""
    counts = (_counts(cells, group, arm, outcomes, rule) for arm in ("baseline", f"patch:{value}"))
    (k_1, n_1), (k_2, n_2) = counts
    return CountPair(k_1, n_1, k_2, n_2)


def _counts(
    cells: TrialCells, group: str, arm: str, outcomes: tuple[str, ...], rule: OriginalRule
) -> tuple[Int[np.ndarray, " F"], Int[np.ndarray, " F"]]:
    """Trials with any of the outcomes, and all that count, over the prompts of a context."""
    prompts = cells.group_of == group
    found = {name: cells.arm(name, arm).at((slice(None), prompts)) for name in (*outcomes, INVALID)}
    total = np.sum([found[name].total.sum(axis=1) for name in outcomes], axis=0)
    count = found[INVALID].count.sum(axis=1)
    if rule.invalid == "dropped":
        count = count - found[INVALID].total.sum(axis=1)
    return total.astype(np.int64), count.astype(np.int64)


def _yates(k_1: np.ndarray, n_1: np.ndarray, k_2: np.ndarray, n_2: np.ndarray) -> Float[np.ndarray, "*rows"]:
    """p of the chi-square test with Yates' correction; 1 where a margin is 0."""
    n, k = (n_1 + n_2).astype(np.float64), (k_1 + k_2).astype(np.float64)
    margins = n_1 * 1.0 * n_2 * k * (n - k)
    beyond = np.maximum(np.abs(k_1 * 1.0 * (n_2 - k_2) - k_2 * 1.0 * (n_1 - k_1)) - n / 2, 0.0)
    return np.where(margins > 0, stats.chi2.sf(n * beyond**2 / np.maximum(margins, 1.0), 1), 1.0)
