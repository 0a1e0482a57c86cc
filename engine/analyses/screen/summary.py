"""A screening table in one page: how many features differ, in which layers, and the strongest of them.

Where the table has strata, what counts is the comparison within them: a feature that merely reads the balance is
strong in the plain columns and not in the stratified ones. Null p values (features that never varied) are in no count.
Where no data of so few prompts could make q small, that is said instead of a count of nothing.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.screen.activations import stratum_of
from causeway.engine.analyses.screen.table import METADATA_KEY
from causeway.engine.tokenized_prompt import TokenizedPrompt

ALPHA = 0.05


def summarise(table: pa.Table, *, alpha: float = ALPHA, count: int = 20) -> dict[str, Any]:
    """The summary as JSON values.

    Args:
        table: made by `screen_table`.
        alpha: bound on q of a feature that counts as different.
        count: strongest features listed, by |d| over all layers.

    Returns:
        reading (how the columns are to be read), compared (the columns counted by, their test, and whether it can tell
        anything), tested, significant, by_layer (tested, significant and greatest |d|) and strongest (the table's
        rows).
    """
    suffix = "_stratified" if "q_stratified" in table.column_names else ""
    q, d = (table[name + suffix].to_numpy().astype(np.float64) for name in ("q", "d"))
    layer, tested, different = table["layer"].to_numpy(), np.isfinite(q), q < alpha
    strength = np.where(tested & np.isfinite(d), np.abs(d), -1.0)
    order = np.argsort(-strength, kind="stable")[:count]
    strongest = table.take(order[strength[order] >= 0])
    reading = json.loads(table.schema.metadata[METADATA_KEY])
    return {
        "reading": reading,
        "compared": {
            "d": f"d{suffix}",
            "q": f"q{suffix}",
            "alpha": alpha,
            "test": reading[f"test{suffix}"],
            "least_p": reading[f"least_p{suffix}"],
            "can_tell": reading[f"least_p{suffix}"] < alpha,
        },
        "tested": int(tested.sum()),
        "significant": int(different.sum()),
        "by_layer": {
            str(at): {
                "tested": int(tested[layer == at].sum()),
                "significant": int(different[layer == at].sum()),
                "greatest_d": max(float(strength[layer == at].max()), 0.0),
            }
            for at in np.unique(layer)
        },
        "strongest": scalars.without_nan(strongest.to_pylist()),
    }


def usable_rows(prompts: Sequence[TokenizedPrompt], within: Sequence[str]) -> int:
    """Prompts in strata that hold two or more of each of two groups: the ones a stratified comparison rests on."""
    cells = Counter((stratum_of(prompt.record, within), prompt.record.group) for prompt in prompts)
    strata: dict[str, list[int]] = defaultdict(list)
    for (stratum, _), count in cells.items():
        strata[stratum].append(count)
    return sum(sum(counts) for counts in strata.values() if len(counts) == 2 and min(counts) >= 2)


def lines(summary: Mapping[str, Any], shown: int = 10) -> list[str]:
    """The summary as a compact table for a terminal."""
    reading, compared = summary["reading"], summary["compared"]
    first, second = reading["groups"]
    d, q = compared["d"], compared["q"]
    found = f"{summary['significant']} of {summary['tested']} features that vary have {q} < {compared['alpha']:g}"
    how = f"p: {compared['test']}"
    if not compared["can_tell"]:
        how += f"; cannot tell: so few prompts give no p below {compared['least_p']:.2g}, whatever they hold"
    layers = ", ".join(f"{layer}: {entry['significant']}" for layer, entry in summary["by_layer"].items())
    header = f"{'layer':>5} {'feature':>7} {d:>12} {q:>12} {'mean ' + first:>14} {'mean ' + second:>14} {'active':>13}"
    rows = [
        f"{row['layer']:>5} {row['feature']:>7} {row[d]:>12.2f} {row[q]:>12.1e} {row[f'mean_{first}']:>14.4g} "
        f"{row[f'mean_{second}']:>14.4g} {row[f'active_fraction_{first}']:>6.0%}"
        f"{row[f'active_fraction_{second}']:>7.0%}"
        for row in summary["strongest"][:shown]
    ]
    return [f"{found} (by layer {layers}); d is {second} minus {first}", how, *([header, *rows] if rows else [])]
