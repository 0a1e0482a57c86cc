"""The features of a sweep from a table: which ones, and what they are set to.

A screening table gives the strongest features of each layer by |d| and values by a rule (`screen.values`). A
table with columns `value_<group>` gives every row's own values.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from causeway.engine.analyses.patch_sweep.design import FeatureSet
from causeway.engine.analyses.screen.values import feature_values, groups_of, numbers, strongest, whole_numbers

EXPLICIT = "value_"


def features_of(
    table: pa.Table,
    rule: str | Mapping[str, float],
    per_layer: int,
    limit: int | None,
    *,
    groups: Sequence[str] = (),
    layers: Sequence[int] = (),
) -> FeatureSet:
    """The features and values of a table.

    Args:
        rule: of values, for tables without explicit ones. per_layer: features taken of each layer of a screening
            table. limit: keep the first so many, strongest first. groups: of the prompts, the names that a rule of
            numbers may give values to, besides the table's own groups; () lets any name pass. layers: the table's
            features of these layers are meant; () means of all.

    Raises:
        ValueError: no feature is left, the table has no values for the rule, a rule's name is no group, or a value has
            the name of an arm.
    """
    for name in ("layer", "feature"):
        whole_numbers(table, name)
    table = chosen(of_layers(table, layers), per_layer)
    if not isinstance(rule, str) and groups:
        _check_names(rule, [*groups_of(table), *groups])
    explicit = [name for name in table.column_names if name.startswith(EXPLICIT)]
    layer, feature = (whole_numbers(table, name) for name in ("layer", "feature"))
    if explicit:
        values = {n.removeprefix(EXPLICIT): numbers(table, n) for n in explicit}
    else:
        values = dict(feature_values(table, rule).values)
    for name in values:
        if not name or ":" in name or name == "ablate":
            raise ValueError(f"features: got {name!r} as name of a value; needs text without ':' other than 'ablate'")
    ruled = isinstance(rule, str) and not explicit
    features = FeatureSet(layer, feature, values, f"{rule} of each group" if ruled else "given")
    return features if limit is None else features.first(limit)


def of_layers(table: pa.Table, layers: Sequence[int]) -> pa.Table:
    """The rows of some layers."""
    if not layers:
        return table
    there = whole_numbers(table, "layer")
    kept = table.filter(pa.array(np.isin(there, list(layers))))
    if not kept.num_rows:
        found = ", ".join(map(str, np.unique(there)))
        raise ValueError(
            f"layers: got {', '.join(map(str, layers))}, but the table has features of {found}; give those"
        )
    return kept


def _check_names(rule: Mapping[str, float], groups: Sequence[str]) -> None:
    """A name that is mistyped would patch every prompt with what was meant for one group."""
    known = list(dict.fromkeys(groups))
    if unknown := [name for name in rule if name not in known]:
        example = ",".join(f"{name}=0" for name in known)
        raise ValueError(
            f"value: got {unknown[0]!r}, which is no group; the groups are {', '.join(known)}: --value={example}"
        )


def ranked(table: pa.Table) -> bool:
    """Whether it is a screening table, of which the strongest rows are taken."""
    return {"d", "q"} <= set(table.column_names)


def chosen(table: pa.Table, per_layer: int) -> pa.Table:
    """The strongest rows of each layer of a screening table, the strongest of all first; other tables as they are."""
    if not ranked(table):
        return table
    for name in ("d", "q"):
        numbers(table, name)
    kept = strongest(table, per_layer)
    size = np.abs(numbers(kept, "d"))
    return kept.take(np.argsort(-size, kind="stable"))


def parse_rule(text: str) -> str | dict[str, float]:
    """A rule by name, or numbers as `safe=0,risky=2.5`.

    Raises:
        ValueError: an entry that is not NAME=NUMBER, or a name twice.
    """
    if "=" not in text:
        return text
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        values = {name.strip(): float(number) for name, _, number in pairs}
    except ValueError:
        values = {}
    if len(values) < len(pairs) or "" in values or not np.isfinite(list(values.values())).all():
        raise ValueError(f"value: got {text!r}; needs a rule, or GROUP=NUMBER once for each group")
    return values
