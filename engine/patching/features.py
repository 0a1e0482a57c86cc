"""The features of a sweep from a table: which ones, and what they are set to.

A screening table gives the strongest features of each layer by |d| and values by a rule (`engine.screen.values`). A
table with columns `value_<group>` gives every row's own values.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from causeway.engine.patching.design import FeatureSet
from causeway.engine.screen.values import feature_values, strongest

_EXPLICIT = "value_"


def features_of(table: pa.Table, rule: str | Mapping[str, float], per_layer: int, limit: int | None) -> FeatureSet:
    """The features and values of a table.

    Args:
        rule: of values, for tables without explicit ones. per_layer: features taken of each layer of a screening
            table. limit: keep the first so many, strongest first.

    Raises:
        ValueError: no feature is left, or the table has no values for the rule.
    """
    table = chosen(table, per_layer)
    explicit = [name for name in table.column_names if name.startswith(_EXPLICIT)]
    layer, feature = (table[name].to_numpy().astype(np.int32) for name in ("layer", "feature"))
    if explicit:
        values = {n.removeprefix(_EXPLICIT): table[n].to_numpy().astype(np.float64) for n in explicit}
    else:
        values = dict(feature_values(table, rule).values)
    features = FeatureSet(layer, feature, values)
    return features if limit is None else features.first(limit)


def chosen(table: pa.Table, per_layer: int) -> pa.Table:
    """The strongest rows of each layer of a screening table, the strongest of all first; other tables as they are."""
    if not {"d", "q"} <= set(table.column_names):
        return table
    kept = strongest(table, per_layer)
    size = np.abs(kept["d"].to_numpy().astype(np.float64))
    return kept.take(np.argsort(-size, kind="stable"))


def parse_rule(text: str) -> str | dict[str, float]:
    """A rule by name, or numbers as `safe=0,risky=2.5`.

    Raises:
        ValueError: an entry that is not NAME=NUMBER.
    """
    if "=" not in text:
        return text
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        return {name.strip(): float(number) for name, _, number in pairs}
    except ValueError:
        raise ValueError(f"value: got {text!r}; needs a rule, or GROUP=NUMBER for each group") from None
