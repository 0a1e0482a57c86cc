"""The screening table: one row for each layer and feature, comparing two groups.

    t, p   Welch's test (scipy.stats.ttest_ind_from_stats, equal_var=False)
    q      Benjamini-Hochberg over all rows of the table, all layers together
    d      Cohen's d with pooled deviation, second group minus first, with its interval

With strata, `difference_stratified`, `d_stratified`, `p_stratified` and `q_stratified` compare only rows of the same
stratum (`engine.stats.strata`). A feature without variation (never active) has p, q and d null: it is untestable, and
not counted in the family. Everything needed to read the numbers is in the schema's metadata under `causeway.screen`.

Columns, with the groups' own names in place of 1 and 2: layer, feature, n_, mean_ (zeros included), std_,
active_fraction_, mean_active_, max_, q10_ ... q90_ (of active values) for each group, then the comparison.
Cost: a few elementwise passes a layer; BH sorts all p values once.
"""

import json

import numpy as np
import pyarrow as pa
from scipy import stats

from causeway.engine.screen.accumulate import GroupSums
from causeway.engine.stats import effect_size, multiple, quantiles
from causeway.engine.stats.moments import Moments
from causeway.engine.stats.strata import stratified_difference

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
METADATA_KEY = b"causeway.screen"


def quantile_column(q: float, group: str) -> str:
    """Name of a quantile's column, such as q90_risky."""
    return f"q{round(100 * q):02d}_{group}"


def screen_table(sums: GroupSums, *, correction: multiple.Method = "bh", confidence: float = 0.95) -> pa.Table:
    """Compares the two groups of `sums` at every layer and feature.

    Raises:
        ValueError: a group has fewer than two rows at some layer.
    """
    stratified = any(len(sums.strata(layer)) > 1 for layer in sums.layers)
    layers = [_layer_columns(sums, layer, stratified, confidence) for layer in sums.layers]
    if not layers:
        raise ValueError("screen: no activations were taken in; call update for each layer and batch first")
    columns = {name: np.concatenate([layer[name] for layer in layers]) for name in layers[0]}
    sizes = {}
    for suffix in ("", "_stratified") if stratified else ("",):
        family = multiple.adjust(columns["p" + suffix], correction)
        columns["q" + suffix] = family.q
        sizes["family_size" + suffix] = family.tested
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(_reading(sums, correction, confidence) | sizes)})


def _reading(sums: GroupSums, correction: str, confidence: float) -> dict[str, object]:
    """What a reader of the table must know."""
    first, second = sums.groups
    return {
        "groups": [first, second],
        "sign": f"t, d and difference_stratified are {second} minus {first}: positive where {second} is higher",
        "t": "Welch, unequal variances, scipy.stats.ttest_ind_from_stats",
        "d": "Cohen's d, pooled standard deviation; interval of Hedges and Olkin (large sample)",
        "q": f"{correction} over all layers and features of this table",
        "confidence": confidence,
        "quantiles": f"of values above zero; within a factor {1 + quantiles.RELATIVE_ERROR:.4f} of the order statistic",
        "strata": {str(layer): list(sums.strata(layer)) for layer in sums.layers},
    }


def _layer_columns(sums: GroupSums, layer: int, stratified: bool, confidence: float) -> dict[str, np.ndarray]:
    groups = [sums.moments(layer, name) for name in sums.groups]
    for name, moments in zip(sums.groups, groups, strict=True):
        if moments.count < 2:
            raise ValueError(f"group {name!r}: {moments.count} rows at layer {layer}; needs two or more to compare")
    features = len(groups[0].mean)
    columns = {"layer": np.full(features, layer, dtype=np.int32), "feature": np.arange(features, dtype=np.int32)}
    for name, moments in zip(sums.groups, groups, strict=True):
        columns |= _group_columns(sums, layer, name, moments)
    columns |= _comparison(groups[0], groups[1], confidence)
    if stratified:
        columns |= _stratified(sums, layer)
    return columns


def _group_columns(sums: GroupSums, layer: int, name: str, moments: Moments) -> dict[str, np.ndarray]:
    histogram = sums.histogram(layer, name)
    columns = {
        f"n_{name}": np.full(len(moments.mean), moments.count, dtype=np.int64),
        f"mean_{name}": moments.mean,
        f"std_{name}": np.sqrt(moments.variance),
        f"active_fraction_{name}": moments.active_fraction,
        f"mean_active_{name}": moments.mean_active,
        f"max_{name}": moments.maximum,
    }
    return columns | {quantile_column(q, name): histogram.quantile(q) for q in QUANTILES}


def _comparison(first: Moments, second: Moments, confidence: float) -> dict[str, np.ndarray]:
    deviations = np.sqrt(first.variance), np.sqrt(second.variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        test = stats.ttest_ind_from_stats(
            second.mean, deviations[1], second.count, first.mean, deviations[0], first.count, equal_var=False
        )
    varies = (deviations[0] > 0) | (deviations[1] > 0)
    d = effect_size.cohens_d(first.mean, deviations[0], first.count, second.mean, deviations[1], second.count)
    low, high = effect_size.cohens_d_interval(d, first.count, second.count, confidence)
    t, p = (np.where(varies, value, np.nan) for value in (test.statistic, test.pvalue))
    return {"t": t, "p": p, "d": d, "d_low": low, "d_high": high}


def _stratified(sums: GroupSums, layer: int) -> dict[str, np.ndarray]:
    strata = sums.strata(layer)
    arrays = []
    for name in sums.groups:
        cells = [sums.moments(layer, name, stratum) for stratum in strata]
        counts = np.asarray([cell.count for cell in cells], dtype=np.float64)[:, None]
        arrays += [np.stack([cell.mean for cell in cells]), np.stack([cell.variance for cell in cells]), counts]
    found = stratified_difference(*arrays)
    return {"difference_stratified": found.difference, "d_stratified": found.d, "p_stratified": found.p}
