"""Neurons ranked within their layer, from sums over the choosing prompts.

    mean_abs, variance, saliency      mean |a|, variance of a, mean |a dm/da| over all tokens that count
    ..._last                          the same at the output position
    direct_effect                     mean over prompts of a_n(T) <w_n, g>; it ranks by size
    direct_effect_abs                 mean over prompts of its size, where signs cancel

a is the activation, m the outcome in nats; effects are before a cap of the logits. A rank of 1 is the strongest; ranks
by several criteria are combined in their mean, which is what the layer is ranked by. By default three count: mean |a|,
variance, direct effect.

The direct effects of those kept are estimated on other prompts than chose them.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from scipy import stats

from causeway.engine.analyses.rank.readings import SCOPES
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.reading.read import Part
from causeway.engine.stats.moments import Spread
from causeway.engine.stats.multiple import adjust
from causeway.engine.stats.paired import paired_mean

CRITERIA = (
    "mean_abs", "variance", "saliency", "mean_abs_last", "variance_last", "saliency_last", "direct_effect",
    "direct_effect_abs",
)  # fmt: skip
DEFAULT = ("mean_abs", "variance", "direct_effect")


@dataclasses.dataclass(frozen=True)
class Sums:
    """What the choosing prompts tell.

    Attributes:
        scores: by criterion [L, N].
        means: of what layers write, at all tokens and at the output position [W, L, 2, D], as edits hold them.
        clean: outcomes of the prompts [P].
    """

    scores: dict[str, Float[np.ndarray, "L N"]]
    means: Float[np.ndarray, "W L 2 D"]
    clean: Float[np.ndarray, " P"]


def summed(parts: Iterable[Part], prompts: int) -> Sums:
    """The parts of a reading by `NeuronSums`.

    Raises:
        NotFiniteError: a sum is not a number.
    """
    spreads = [Spread(0, np.zeros(1), np.zeros(1)) for _ in SCOPES]
    totals: dict[str, np.ndarray] = {}
    clean = np.zeros(prompts)
    for part in parts:
        clean[part.rows] = part.values["clean"]
        for device, counts in enumerate(part.values["count"]):
            for k, count in enumerate(counts):
                mean, m2 = (part.values[name][device, :, k].astype(np.float64) for name in ("mean", "m2"))
                spreads[k] += Spread(round(float(count)), mean, m2)
        for name in ("size", "saliency", "direct", "written"):
            totals[name] = totals.get(name, 0.0) + part.values[name].astype(np.float64).sum(axis=0)
    counts = np.array([spread.count for spread in spreads])
    scores = {}
    for k, end in enumerate(("", "_last")):
        scores[f"mean_abs{end}"] = totals["size"][:, k] / counts[k]
        scores[f"variance{end}"] = spreads[k].variance
        scores[f"saliency{end}"] = totals["saliency"][:, k] / counts[k]
    scores |= {name: totals["direct"][:, k] / prompts for k, name in enumerate(("direct_effect", "direct_effect_abs"))}
    for name, found in scores.items():
        if not np.isfinite(found).all():
            layer, neuron = np.argwhere(~np.isfinite(found))[0]
            raise NotFiniteError(f"neurons: {name} of {layer}:{neuron} is not a number; compute in float32")
    means = totals["written"] / counts[:, None]
    return Sums(scores, means.astype(np.float32), clean)


def ranks_of(
    scores: dict[str, Float[np.ndarray, "L N"]], criteria: Sequence[str]
) -> tuple[dict[str, Float[np.ndarray, "L N"]], Int[np.ndarray, "L N"]]:
    """Ranks by each criterion, equals sharing theirs, and the combined order; 1 is the strongest."""
    ranks = {name: stats.rankdata(-np.abs(scores[name]), axis=1) for name in criteria}
    mean = np.mean(list(ranks.values()), axis=0)
    order = np.argsort(mean, axis=1, kind="stable")
    return ranks, np.argsort(order, axis=1) + 1


def kept_neurons(rank: Int[np.ndarray, "L N"], critical: Sequence[int], count: int) -> Int[np.ndarray, "2 K"]:
    """Layer and number of the first so many neurons of each critical layer, the strongest layer first."""
    best = [np.argsort(rank[layer])[:count] for layer in critical]
    return np.stack([np.repeat(critical, [len(own) for own in best]), np.concatenate(best)]).astype(np.int32)


def all_table(sums: Sums, criteria: Sequence[str], layers: Sequence[int], kept: Int[np.ndarray, "2 K"]) -> pa.Table:
    """A row a neuron of some layers: its scores on the choosing prompts, its ranks, and whether it is kept."""
    ranks, rank = ranks_of(sums.scores, criteria)
    is_kept: Bool[np.ndarray, "L N"] = np.zeros(rank.shape, bool)
    is_kept[tuple(kept)] = True
    at, width = list(layers), rank.shape[1]
    columns: dict[str, Any] = {"layer": np.repeat(at, width), "neuron": np.tile(np.arange(width), len(at))}
    columns["rank"] = rank[at].ravel()
    for name, values in sums.scores.items():
        columns[f"choosing_{name}" if name.startswith("direct") else name] = values[at].ravel()
    columns |= {f"rank_{name}": values[at].ravel() for name, values in ranks.items()}
    return pa.table(columns | {"kept": is_kept[at].ravel()})


def kept_table(every: pa.Table, kept: Int[np.ndarray, "2 K"], direct: Float[np.ndarray, "P K"]) -> pa.Table:
    """Those kept, the strongest first, with the direct effects that the estimating prompts give.

    Args:
        every: see `all_table`.
        kept: layer and number of each.
        direct: effects prompt by prompt.
    """
    place = {pair: i for i, pair in enumerate(zip(*(every[n].to_pylist() for n in ("layer", "neuron")), strict=True))}
    table = every.take([place[pair] for pair in zip(*kept.tolist(), strict=True)])
    found = paired_mean(direct.T)
    more = {
        "direct_effect": found.effect, "low": found.low, "high": found.high, "p": found.p, "q": adjust(found.p).q,
        "prompts": found.prompts,
    }  # fmt: skip
    for name, values in more.items():
        table = table.append_column(name, pa.array(values))
    return table
