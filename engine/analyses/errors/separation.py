"""How well each neuron tells right answers from wrong ones: chosen on some prompts, judged on others.

    auc   P(a neuron's value on a right answer > on a wrong one) + P(equal) / 2, of pairs of prompts within a stratum
    d     difference of the means, right less wrong, in standard deviations within classes and strata (Cohen's)
    p     of the AUC: labels are dealt anew within strata, whole groups together (`stats/label_permutation.py` of ranks
          within strata, whose sum rises with the AUC); q over all neurons that vary

On the prompts that choose, every neuron has these; the `keep` with AUC farthest from 1/2 are then judged on the
others: their AUC there with an interval over groups (`stats/auc.py`), p, and q over these alone. The luckiest of many
is among the chosen, so the figures of choosing are too good; those held out are not. A neuron is `confirmed` where its
held-out q is at most `ALPHA`, on the side of 1/2 on which it was chosen, with an interval that leaves 1/2 out.

Shapes: P prompts, M neurons of a layer, K kept. Cost: a sort of P values a neuron, and the deals. Memory: a layer's
values, [P, M], and those kept of each layer, [P, K].
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from scipy import sparse, stats

from causeway.engine.analyses.errors.labels import Labelled
from causeway.engine.neurons import Neurons
from causeway.engine.stats.auc import areas, interval
from causeway.engine.stats.label_permutation import label_permutation_test
from causeway.engine.stats.multiple import Method, adjust
from causeway.engine.stats.strata import stratified_difference

ALPHA = 0.05
CONFIRMED, NOT_CONFIRMED, CANNOT_TELL = "confirmed", "not confirmed", "cannot tell"
# A layer, the numbers of its neurons [M], and their values [P, M] on prompts.
LayerValues = tuple[int, Int[np.ndarray, " M"], Float[np.ndarray, "P M"]]


@dataclasses.dataclass(frozen=True)
class Separation:
    """Neurons by how well they tell right from wrong.

    Attributes:
        table: a row a neuron, the best on the prompts that choose first.
        best: the K that were judged, in that order. values: [P, K] theirs.
    """

    table: pa.Table
    best: Neurons
    values: Float[np.ndarray, "P K"]


def separation(
    layers: Iterable[LayerValues], given: Labelled, keep: int, seed: int, correction: Method = "bh"
) -> Separation:
    """Choose neurons and judge them.

    Args:
        layers: values of each layer's neurons on the prompts of `given`. keep: how many neurons are judged.
        seed: of the deals.

    Raises:
        ValueError: no neuron varies.
    """
    choose, held = given.choose, ~given.choose
    parts, stored = [], []
    for layer, neuron, x in layers:
        own = _chosen_by(x[choose], given, choose, seed)
        own |= {"layer": np.full(len(neuron), layer, np.int32), "neuron": np.asarray(neuron, np.int32)}
        parts.append(own)
        first = _order(own["auc"])[:keep]
        stored.append(np.asarray(x[:, first]))
        own["stored"] = np.full(len(neuron), -1)
        own["stored"][first] = np.arange(len(first)) + sum(one.shape[1] for one in stored[:-1])
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    found = {name: values[_order(found["auc"])] for name, values in found.items()}
    if np.isnan(found["p"]).all():
        raise ValueError("neurons: none has two values on the prompts that choose; name others, or another measure")
    best = slice(0, min(keep, int((~np.isnan(found["p"])).sum())))
    values = np.concatenate(stored, axis=1)[:, found["stored"][best]]
    judged = _judged(values[held], found["auc"][best], given, held, seed, correction)
    table = _table(found, judged, correction)
    return Separation(table, Neurons(found["layer"][best], found["neuron"][best]), values)


def _order(auc: Float[np.ndarray, " M"]) -> Int[np.ndarray, " M"]:
    """Farthest from 1/2 first; of equals the earlier."""
    return np.argsort(-np.abs(auc - 0.5), kind="stable")


def _chosen_by(
    x: Float[np.ndarray, "n M"], given: Labelled, side: Bool[np.ndarray, " P"], seed: int
) -> dict[str, np.ndarray]:
    """Figures of neurons on one side."""
    right, strata = given.right[side], given.strata[side]
    return {
        "auc": areas(x.T, right, strata), "d": _difference(x, right, strata),
        "mean_right": x[right].mean(axis=0, dtype=np.float64), "mean_wrong": x[~right].mean(axis=0, dtype=np.float64),
        "p": _p(x, given, side, seed),
    }  # fmt: skip


def _p(
    x: Float[np.ndarray, "n M"], given: Labelled, side: Bool[np.ndarray, " P"], seed: int
) -> Float[np.ndarray, " M"]:
    strata, ranks = given.strata[side], np.zeros(x.T.shape)
    for stratum in np.unique(strata):
        on = strata == stratum
        ranks[:, on] = stats.rankdata(x[on].T, axis=1) - (on.sum() + 1) / 2
    clusters = given.clusters[side]
    alone = len(np.unique(clusters)) == len(clusters)
    found = label_permutation_test(
        sparse.csr_array(ranks), given.right[side], strata, seed=seed, clusters=None if alone else clusters
    )
    return found.p


def _difference(
    x: Float[np.ndarray, "n M"], right: Bool[np.ndarray, " n"], strata: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " M"]:
    """Cohen's d, pooled over strata."""
    every = np.unique(strata)
    sides = []
    for of in (~right, right):
        own = [x[of & (strata == stratum)].astype(np.float64) for stratum in every]
        count = np.array([len(one) for one in own])[:, None]
        mean = np.stack([one.mean(axis=0) if len(one) else np.zeros(x.shape[1]) for one in own])
        variance = np.stack([one.var(axis=0, ddof=1) if len(one) > 1 else np.zeros(x.shape[1]) for one in own])
        sides += [mean, variance, count.astype(np.float64)]
    return stratified_difference(*sides).d


def _judged(
    x: Float[np.ndarray, "n K"], chosen: Float[np.ndarray, " K"], given: Labelled, side: Bool[np.ndarray, " P"],
    seed: int, correction: Method,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Held-out figures of the neurons chosen."""
    right, strata = given.right[side], given.strata[side]
    groups = [group for group, on in zip(given.groups, side, strict=True) if on]
    auc, low, high = np.array([interval(column, right, groups, strata) for column in x.T]).T
    p = _p(x, given, side, seed)
    q = adjust(p, correction).q
    with np.errstate(invalid="ignore"):
        confirmed = (q <= ALPHA) & ((auc - 0.5) * (chosen - 0.5) > 0) & ((low > 0.5) | (high < 0.5))
    unknown = np.isnan(p) | np.isnan(low)
    verdict = np.where(unknown, CANNOT_TELL, np.where(confirmed, CONFIRMED, NOT_CONFIRMED))
    return {
        "auc_held_out": auc, "auc_low": low, "auc_high": high, "d_held_out": _difference(x, right, strata),
        "p_held_out": p, "q_held_out": q, "verdict": verdict,
    }  # fmt: skip


def _table(found: dict[str, np.ndarray], judged: dict[str, np.ndarray], correction: Method) -> pa.Table:
    """All neurons; held-out figures where there are some, else null."""
    count, kept = len(found["auc"]), len(judged["verdict"])
    names = ("layer", "neuron", "auc", "d", "mean_right", "mean_wrong", "p")
    columns: dict[str, pa.Array] = {name: pa.array(found[name]) for name in names}
    columns["q"] = pa.array(adjust(found["p"], correction).q)
    for name, values in judged.items():
        columns[name] = pa.array([*values.tolist(), *[None] * (count - kept)])
    return pa.table(columns)
