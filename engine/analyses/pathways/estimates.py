"""What is said of each measured pair, with the prompt as unit.

    effect       mean over the prompts of estimation of the change of the target's pre-activation when the source is
                 set (its sign: below 0, the target falls), with interval and p of `paired_mean`
    predicted    the mean of gradient x planned change on the same prompts
    null band    +- the conformal quantile of |mean change| over the pair's n random features: one that does no more
                 than a random one is beyond it with probability 5 % at most (1 / 20 with the 19 draws that takes)
    p_null       the share of random features that are as far out among their own. With x_0 the pair's mean change and
                 x_1 to x_n its random features', r_i = |x_i| / rms of the other random ones, of which x_0 takes the
                 first n - 1 so that all have as many; p_null = (1 + number of random features of all pairs with
                 r >= r_0) / (1 + all of them). x_0 is in no other's r: what pairs do, however many do something, does
                 not move what they are held against
    q            of the larger of p and p_null, over all pairs
    validated    q < alpha, |effect| > tau, the interval leaves 0 out, and |effect| beyond the band; null where one of
                 these could not be evaluated and none fails

p asks whether the mean is other than 0, and no test over a few dozen prompts is safe against every skew: with lognormal
changes and 1,000 pairs that do nothing, one of them has q < 0.05 in half of runs by p alone. p_null asks whether a
random feature would do as much, and is right whatever the changes' shape, as both are of one shape then
(`tests/engine/analyses/pathways/test_estimates.py` has the simulation).

Beside them the documents' own, on activations: `original_p` of an unpaired t-test of the target's with the source set
against those without, `original_pathway` p < 0.05 and |change| > 0.1, `original_strong` p < 0.01 and |change| > 0.2,
`original_r` the correlation over prompts of source (summed over its tokens) and target, neither of them set,
`original_correlated` |r| > 0.7; null where p or r is none. A change that is the same on every prompt, large or small,
is lost on such a t-test.

Shapes: K pairs, P prompts, n draws.
"""

import dataclasses
import warnings

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float
from scipy import stats

from causeway.engine.analyses.pathways.replay import Measured
from causeway.engine.analyses.pathways.selection import SelectedPairs
from causeway.engine.stats.conformal import conformal_bound
from causeway.engine.stats.multiple import Method, adjust
from causeway.engine.stats.paired import PairedMean, paired_mean
from causeway.engine.sweep.table import nan_as_null

# The documents' thresholds.
PATHWAY, STRONG, CORRELATED = (0.05, 0.1), (0.01, 0.2), 0.7


@dataclasses.dataclass(frozen=True)
class Rule:
    """When a pair is validated.

    Attributes:
        alpha: bound on q, and on what is beyond the null band. tau: least |effect|. correction: bh or by.
    """

    alpha: float = 0.05
    tau: float = 0.05
    correction: Method = "bh"

    def __post_init__(self):
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha: got {self.alpha}; needs a number above 0 and below 1")


@dataclasses.dataclass(frozen=True)
class Estimates:
    """Of all pairs, [K]."""

    mean: PairedMean
    p_null: Float[np.ndarray, " K"]
    q: Float[np.ndarray, " K"]
    predicted: Float[np.ndarray, " K"]
    band: Float[np.ndarray, " K"]
    validated: Bool[np.ndarray, " K"]
    told: Bool[np.ndarray, " K"]


def estimate(measured: Measured, predicted: Float[np.ndarray, "K P"], rule: Rule) -> Estimates:
    """The statistics of all pairs.

    Args:
        predicted: change of the pre-activation on each prompt, as the gradient has it.
    """
    found = paired_mean(measured.pre)
    p_null = null_p(found.effect, measured.random.mean(axis=2))
    q = adjust(np.fmax(found.p, np.where(np.isnan(found.p), np.nan, p_null)), rule.correction).q
    band = null_band(measured.random, 1 - rule.alpha)
    size = np.abs(found.effect)
    with np.errstate(invalid="ignore"):
        holds = np.stack([
            q < rule.alpha, size > rule.tau, (found.low > 0) | (found.high < 0), size > band,
        ])  # fmt: skip
    known = np.stack([~np.isnan(q), ~np.isnan(size), ~np.isnan(found.low), ~np.isnan(band)])
    fails = (known & ~holds).any(axis=0)
    all_hold, told = np.all(holds, axis=0), fails | np.all(known, axis=0)
    return Estimates(found, p_null, q, predicted.mean(axis=1), band, all_hold, told)


def null_band(random: Float[np.ndarray, "K n P"], share: float) -> Float[np.ndarray, " K"]:
    """The ceil(share (n + 1))-th smallest |mean change| of n random features; NaN where n is too small for it."""
    return conformal_bound(np.abs(random.mean(axis=2)).T, share)


def null_p(effect: Float[np.ndarray, " K"], random: Float[np.ndarray, "K n"]) -> Float[np.ndarray, " K"]:
    """Share of all pairs' random features that stand as far out among their own; NaN with fewer than two draws."""
    if random.shape[1] < 2:
        return np.full(len(random), np.nan)
    square = np.square(np.concatenate([effect[:, None], random], axis=1))
    others = square[:, 1:].sum(axis=1, keepdims=True) - square
    others[:, 0] = square[:, 1:-1].sum(axis=1)
    others /= random.shape[1] - 1
    # What is 0 does nothing, whatever the others do; what stands among zeros alone is farthest out.
    others = np.where(others <= 1e-12 * square, 0.0, others)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(square == 0, 0.0, square / others)
    null = np.sort(ratio[:, 1:].ravel())
    return (1 + len(null) - np.searchsorted(null, ratio[:, 0], side="left")) / (1 + len(null))


def pair_table(
    pairs: SelectedPairs, measured: Measured, found: Estimates, gradient: Float[np.ndarray, "K P"]
) -> pa.Table:
    """A row a pair: pathways.parquet."""
    known, mean = ~np.isnan(found.band), found.mean
    columns = {
        "source_layer": pairs.source.layer, "source_feature": pairs.source.feature,
        "target_layer": pairs.target.layer, "target_feature": pairs.target.feature,
        "stratum": pairs.stratum.tolist(), "gradient": gradient.mean(axis=1), "discovered": pairs.effect,
        "predicted": found.predicted, "effect": mean.effect,
        "low": nan_as_null(mean.low), "high": nan_as_null(mean.high),
        "p": nan_as_null(mean.p), "p_null": nan_as_null(found.p_null), "q": nan_as_null(found.q),
        "prompts": mean.prompts.astype(np.int32),
        "moving_prompts": (measured.moved != 0).sum(axis=1).astype(np.int32),
        "source_change": measured.moved.mean(axis=1), "source_moved": np.abs(measured.moved).mean(axis=1),
        "activation_effect": measured.activation.mean(axis=1),
        "null_low": nan_as_null(0 - found.band), "null_high": nan_as_null(found.band),
        "exceeds_null": pa.array(np.abs(mean.effect) > found.band, pa.bool_(), mask=~known),
        "validated": pa.array(found.validated, pa.bool_(), mask=~found.told),
    }  # fmt: skip
    return pa.table(columns | _original(measured))


def _original(measured: Measured) -> dict[str, pa.Array]:
    """The documents' own rules, by name."""
    change = measured.activation.mean(axis=1)
    p, r = np.full(len(change), np.nan), np.full(len(change), np.nan)
    for number, (own, clean) in enumerate(zip(measured.activation, measured.clean, strict=True)):
        source = measured.source[number]
        if len(own) > 1 and np.ptp(clean) > 0:
            with warnings.catch_warnings():
                # All but equal activations, of which scipy says that they are.
                warnings.simplefilter("ignore", RuntimeWarning)
                p[number] = stats.ttest_ind(clean + own, clean).pvalue
            r[number] = np.corrcoef(source, clean)[0, 1] if np.ptp(source) > 0 else np.nan
    with np.errstate(invalid="ignore"):
        columns = {
            "original_change": pa.array(change), "original_p": nan_as_null(p),
            "original_pathway": pa.array((p < PATHWAY[0]) & (np.abs(change) > PATHWAY[1]), mask=np.isnan(p)),
            "original_strong": pa.array((p < STRONG[0]) & (np.abs(change) > STRONG[1]), mask=np.isnan(p)),
            "original_r": nan_as_null(r), "original_correlated": pa.array(np.abs(r) > CORRELATED, mask=np.isnan(r)),
        }  # fmt: skip
    return columns
