"""The screening table: one row for each layer and feature, comparing two groups.

    p      labels dealt anew (`engine.stats.label_permutation`): exact whatever the values and however uneven the groups
    q      Benjamini-Hochberg over all rows of the table, all layers together
    d      Cohen's d with pooled deviation, second group minus first
    t      Welch's, a size as d is; its own p is not used, because sparse features and uneven groups make it too small

With strata, `difference_stratified`, `d_stratified`, `p_stratified` and `q_stratified` compare only rows of the same
stratum (`engine.stats.strata`), and labels are dealt within strata. A feature without variation (never active) has p, q
and d null: it is untestable, and not counted in the family. Everything needed to read the numbers is in the schema's
metadata under `causeway.screen`, the test and the least p that it could have given included.

Columns, with the groups' own names in place of 1 and 2: layer, feature, n_, mean_ (zeros included), std_,
active_fraction_, mean_active_, max_, q10_ ... q90_ (of active values) for each group, then the comparison.
Cost: a few elementwise passes a layer, and the test's; BH sorts all p values once.
"""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from causeway.engine.analyses.screen.accumulate import GroupSums
from causeway.engine.stats import multiple, quantiles
from causeway.engine.stats.label_permutation import LabelTest, label_permutation_test
from causeway.engine.stats.moments import Moments
from causeway.engine.stats.strata import StratifiedDifference, stratified_difference

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
METADATA_KEY = b"causeway.screen"


def quantile_column(q: float, group: str) -> str:
    """Name of a quantile's column, such as q90_risky."""
    return f"q{round(100 * q):02d}_{group}"


def screen_table(sums: GroupSums, *, seed: int = 0) -> pa.Table:
    """Compares the two groups of `sums` at every layer and feature.

    Args:
        seed: key of the labels' deals.

    Raises:
        ValueError: a group has fewer than two rows at some layer, or layers took in different rows.
    """
    stratified = any(len(sums.strata(layer)) > 1 for layer in sums.layers)
    layers = [_layer_columns(sums, layer, stratified) for layer in sums.layers]
    if not layers:
        raise ValueError("screen: no activations were taken in; call update for each layer and batch first")
    columns = {name: np.concatenate([layer[name] for layer in layers]) for name in layers[0]}
    reading = _reading(sums)
    for suffix, test in _tests(sums, stratified, seed).items():
        family = multiple.adjust(test.p)
        columns |= {f"p{suffix}": test.p, f"q{suffix}": family.q}
        reading |= {
            f"test{suffix}": f"difference of means, {test.deals}" + (" within strata" if suffix else ""),
            f"least_p{suffix}": test.least, f"family_size{suffix}": family.tested,
        }  # fmt: skip
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(reading)})


def _tests(sums: GroupSums, stratified: bool, seed: int) -> dict[str, LabelTest]:
    """The tests of all layers' features, by the suffix of their columns."""
    values, (second, strata) = sums.values(), sums.labels()
    tests = {"": label_permutation_test(values, second, np.zeros_like(strata), seed=seed)}
    if stratified:
        # As `strata.stratified_difference` has it: strata with two or more of each group.
        usable = np.isin(strata, [s for s in np.unique(strata) if _fewest(second[strata == s]) >= 2])
        own = label_permutation_test(values[:, usable], second[usable], strata[usable], seed=seed)
        tests["_stratified"] = own
    return tests


def _fewest(second: Bool[np.ndarray, " n"]) -> int:
    """Rows of the smaller group."""
    return int(min(second.sum(), (~second).sum()))


def _reading(sums: GroupSums) -> dict[str, object]:
    """What a reader of the table must know."""
    first, second = sums.groups
    return {
        "groups": [first, second],
        "sign": f"t, d and difference_stratified are {second} minus {first}: positive where {second} is higher",
        "t": "Welch's statistic, unequal variances; p is not read from it",
        "d": "Cohen's d, pooled standard deviation; describes these prompts, no interval is claimed",
        "null": "the labels say nothing about a feature: every deal of them (within strata) is as likely as this one",
        "q": "bh over all layers and features of this table",
        "quantiles": f"of values above zero; within a factor {1 + quantiles.RELATIVE_ERROR:.4f} of the order statistic",
        "strata": {str(layer): list(sums.strata(layer)) for layer in sums.layers},
    }


def _layer_columns(sums: GroupSums, layer: int, stratified: bool) -> dict[str, np.ndarray]:
    groups = [sums.moments(layer, name) for name in sums.groups]
    for name, moments in zip(sums.groups, groups, strict=True):
        if moments.count < 2:
            raise ValueError(f"group {name!r}: {moments.count} rows at layer {layer}; needs two or more to compare")
    features = len(groups[0].mean)
    columns = {"layer": np.full(features, layer, dtype=np.int32), "feature": np.arange(features, dtype=np.int32)}
    for name, moments in zip(sums.groups, groups, strict=True):
        columns |= _group_columns(sums, layer, name, moments)
    found = _difference([[moments] for moments in groups])
    columns |= {"t": found.t, "d": found.d}
    if stratified:
        within = _difference([[sums.moments(layer, name, s) for s in sums.strata(layer)] for name in sums.groups])
        columns |= {"difference_stratified": within.difference, "d_stratified": within.d}
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


def _difference(groups: Sequence[Sequence[Moments]]) -> StratifiedDifference:
    """The second group minus the first, each given by its strata."""
    arrays = []
    for cells in groups:
        counts = np.asarray([cell.count for cell in cells], dtype=np.float64)[:, None]
        arrays += [np.stack([cell.mean for cell in cells]), np.stack([cell.variance for cell in cells]), counts]
    return stratified_difference(*arrays)
