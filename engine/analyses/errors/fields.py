"""In which prompts errors concentrate: the error rate by the values of the prompts' own fields.

A field of numbers with many values is cut at its quartiles. Each value has its error rate with an interval of as many
items as its groups are worth (`stats/proportions.py`), the rate of all other prompts that have the field, and p of
labels that say nothing of the field: labels are dealt anew, whole groups together; q over all values of all fields.
Of graded labels `wrong` are the prompts of the lower class. This describes the prompts at hand; nothing is held out.

Shapes: P prompts, a row for each value of a field.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool
from scipy import sparse

from causeway.engine.analyses.errors.labels import Labelled
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.representations import FIELDS
from causeway.engine.stats.label_permutation import label_permutation_test
from causeway.engine.stats.multiple import Method, adjust
from causeway.engine.stats.proportions import clustered_interval

GROUP = "group"
# More values than these are cut at quartiles where they are numbers, else passed over where nobody asks for them.
MOST_VALUES = 12
# What is known of a prompt before it is run, beside its own fields.
_MADE = tuple(name for name in FIELDS if name != "prompt_tokens")
SCHEMA = pa.schema([
    ("field", pa.string()), ("value", pa.string()), ("prompts", pa.int32()), ("groups", pa.int32()),
    ("wrong", pa.int32()), ("error_rate", pa.float64()), ("low", pa.float64()), ("high", pa.float64()),
    ("others", pa.float64()), ("p", pa.float64()), ("q", pa.float64()),
])  # fmt: skip


def error_rates(given: Labelled, names: Sequence[str], seed: int, correction: Method = "bh") -> pa.Table:
    """A row for each value of each field, the highest error rates of a field first.

    Args:
        names: the fields; none means all that have from 2 to `MOST_VALUES` values, numbers cut at quartiles among them.

    Raises:
        ValueError: a field that no prompt has.
    """
    rows, masks = [], []
    for name, value, members in _values(given.records, names):
        rows.append(_row(given, name, value, members))
        masks.append(members[0] & members[1])
    if not rows:
        return SCHEMA.empty_table()
    p = _tested(given, rows, masks, seed)
    q = adjust(p, correction).q
    told = [row | {"p": _known(a), "q": _known(b)} for row, a, b in zip(rows, p, q, strict=True)]
    first = {name: number for number, name in enumerate(dict.fromkeys(row["field"] for row in rows))}
    return pa.Table.from_pylist(sorted(told, key=lambda row: (first[row["field"]], -row["error_rate"])), SCHEMA)


def _tested(
    given: Labelled, rows: Sequence[dict[str, Any]], masks: Sequence[Bool[np.ndarray, " P"]], seed: int
) -> np.ndarray:
    """p of each row; of a field's rows together, whose prompts are those that have the field."""
    p = np.full(len(rows), np.nan)
    fields = np.array([row["field"] for row in rows])
    for name in dict.fromkeys(fields.tolist()):
        own, every = (
            fields == name,
            np.stack([mask for mask, field in zip(masks, fields, strict=True) if field == name]),
        )
        has = every.any(axis=0)
        values = sparse.csr_array(every[:, has].astype(np.float64))
        wrong, clusters = ~given.right[has], given.clusters[has]
        alone = len(np.unique(clusters)) == len(clusters)
        p[own] = label_permutation_test(
            values, wrong, np.zeros(len(wrong), int), seed=seed, clusters=None if alone else clusters
        ).p
    return p


def _row(
    given: Labelled, name: str, value: str, members: tuple[Bool[np.ndarray, " P"], Bool[np.ndarray, " P"]]
) -> dict[str, Any]:
    has, own = members
    wrong, groups = ~given.right[own], [g for g, on in zip(given.groups, own, strict=True) if on]
    others = ~given.right[has & ~own]
    # Of one group's items the group is no cluster but what is asked about.
    clusters = list(map(str, range(len(groups)))) if name == GROUP else groups
    low, high = clustered_interval(wrong, clusters)
    return {
        "field": name, "value": value, "prompts": len(wrong), "groups": len(set(groups)), "wrong": int(wrong.sum()),
        "error_rate": float(wrong.mean()), "low": _known(low), "high": _known(high),
        "others": float(others.mean()) if len(others) else None,
    }  # fmt: skip


def _values(
    records: Sequence[PromptRecord], names: Sequence[str]
) -> Iterator[tuple[str, str, tuple[Bool[np.ndarray, " P"], Bool[np.ndarray, " P"]]]]:
    """(field, value, (prompts that have the field, those that have the value))."""
    fields = [{"behaviour": r.behaviour, "split": r.split, GROUP: r.cluster, **r.fields} for r in records]
    there = list(dict.fromkeys(name for own in fields for name in own if name not in _MADE))
    for name in names or [name for name in there if name != GROUP]:
        if name not in there:
            raise ValueError(f"by: no prompt has a field {name!r}; there are {', '.join(sorted(there))}")
        has = np.array([name in own for own in fields])
        written, order = _written([own.get(name) for own in fields], has)
        if len(order) > 1 and (names or len(order) <= MOST_VALUES):
            for value in order:
                yield name, value, (has, np.array([w == value for w in written]) & has)


def _written(values: Sequence[Any], has: Bool[np.ndarray, " P"]) -> tuple[list[str], list[str]]:
    """Values as text, and the distinct ones in order; numbers in quartiles where there are many."""
    known = [value for value, on in zip(values, has, strict=True) if on]
    if len({str(value) for value in known}) > MOST_VALUES and (numbers := _numbers(known)) is not None:
        ends = np.unique(np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1]))
        places = np.minimum(np.searchsorted(ends, numbers, side="right") - 1, len(ends) - 2)
        last = len(ends) - 2
        below = ["" if i == last else "below " for i in range(len(ends) - 1)]
        texts = [f"{a:g} to {word}{b:g}" for a, word, b in zip(ends[:-1], below, ends[1:], strict=True)]
        told = iter([texts[place] for place in places])
        return [next(told) if on else "" for on in has], texts
    return [str(value) if on else "" for value, on in zip(values, has, strict=True)], sorted({str(v) for v in known})


def _numbers(values: Sequence[Any]) -> np.ndarray | None:
    """Finite numbers, or texts of such; None where one is none."""
    try:
        found = np.array([float(value) for value in values])
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found).all() and not any(isinstance(value, bool) for value in values) else None


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
