"""The rule of the original feature-patching study, under its own name, for comparison and not for belief.

    original_is_causal_safe    Yates chi-square on stop counts, safe_baseline against safe_with_safe_patch
    original_is_causal_risky   the same on bets above $15, risky_baseline against risky_with_risky_patch

each needing every observed cell at 5 or more, p < 0.05 and |difference of rates| > 0.1. What is wrong with it: about
3 % of null features pass each test and nothing is corrected for their number; the baseline has no dictionary in it, so
the error of a `replace` edit passes for an effect; an unreadable answer counts as a stop; the sign is free; the
cross conditions are asked for and not used. $15 is half of a balance of $30 that the prompt (balance $20) never has.

Shapes: [F] in all; counts are summed over a context's prompts. Cost: one chi-square for each distinct table.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.dataset
from jaxtyping import Bool, Float, Int
from scipy import stats

from causeway.engine.analyses.patch_sweep.cells import INVALID, TrialCells, action_is, amount_above, read_trials
from causeway.engine.stats.distinct import per_distinct_row

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
        invalid_is_stop: whether an unreadable answer counts as a stop, as the study's first parser had it.
    """

    safe: str = "safe"
    risky: str = "risky"
    alpha: float = 0.05
    least_difference: float = 0.1
    least_cell: int = 5
    least_trials: int = 10
    large_bet: float = 15.0
    invalid_is_stop: bool = True


def original_rule(source: pa.Table | pyarrow.dataset.Dataset, rule: OriginalRule | None = None) -> pa.Table:
    """One row for each (layer, feature), by the study's rule.

    A test that may not be made (few trials, a small cell) has effect 0 and p 1, as in the study.

    Args:
        source: sampled trials (columns action and amount), with both contexts and both patched arms.

    Raises:
        ValueError: exact trials, or a missing context or arm.
    """
    rule = rule or OriginalRule()
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
    stops = ("stop", INVALID) if rule.invalid_is_stop else ("stop",)
    safe = _context(cells, rule.safe, stops, rule)
    risky = _context(cells, rule.risky, ("large",), rule)
    code = safe.causal.astype(int) + 2 * risky.causal
    columns = {"layer": pa.array(cells.layer, pa.int32()), "feature": pa.array(cells.feature, pa.int32())}
    for name, test in (("safe", safe), ("risky", risky)):
        columns[f"original_is_causal_{name}"] = pa.array(test.causal)
        columns[f"original_{name}_effect_size"] = pa.array(test.effect)
        columns[f"original_{name}_p_value"] = pa.array(test.p)
    columns["original_interpretation"] = pa.array(INTERPRETATIONS[code].tolist())
    return pa.table(columns)


@dataclasses.dataclass(frozen=True)
class _Test:
    causal: Bool[np.ndarray, " F"]
    effect: Float[np.ndarray, " F"]
    p: Float[np.ndarray, " F"]


def _context(cells: TrialCells, group: str, outcomes: tuple[str, ...], rule: OriginalRule) -> _Test:
    """Baseline against the patch with the context's own value."""
    base_k, base_n = _counts(cells, group, "baseline", outcomes)
    own_k, own_n = _counts(cells, group, f"patch:{group}", outcomes)
    other = rule.risky if group == rule.safe else rule.safe
    _, cross_n = _counts(cells, group, f"patch:{other}", outcomes)
    smallest = np.min([base_k, base_n - base_k, own_k, own_n - own_k], axis=0)
    trials = np.min([base_n, own_n, cross_n], axis=0)
    made = (smallest >= rule.least_cell) & (trials >= rule.least_trials)
    p, effect = np.ones(len(made)), np.zeros(len(made))
    p[made] = per_distinct_row(_chi_square, base_k[made], base_n[made], own_k[made], own_n[made])
    effect[made] = own_k[made] / own_n[made] - base_k[made] / base_n[made]
    return _Test((p < rule.alpha) & (np.abs(effect) > rule.least_difference), effect, p)


def _counts(
    cells: TrialCells, group: str, arm: str, outcomes: tuple[str, ...]
) -> tuple[Int[np.ndarray, " F"], Int[np.ndarray, " F"]]:
    """Trials with any of the outcomes, and all trials, over the prompts of a context."""
    prompts = cells.group_of == group
    found = [cells.arm(name, arm).at((slice(None), prompts)) for name in outcomes]
    total = np.sum([c.total.sum(axis=1) for c in found], axis=0)
    return total.astype(np.int64), found[0].count.sum(axis=1).astype(np.int64)


def _chi_square(k_1: int, n_1: int, k_2: int, n_2: int) -> float:
    return float(stats.chi2_contingency([[k_1, k_2], [n_1 - k_1, n_2 - k_2]], correction=True).pvalue)
