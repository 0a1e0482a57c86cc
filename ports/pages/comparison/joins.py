"""What the results of a command are compared by: rows with keys, a value, and perhaps an interval."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.sections import effect_rows, evaluate, patch_sweep
from causeway.ports.pages.workdir import Result

LOW, HIGH = "low", "high"


@dataclasses.dataclass(frozen=True)
class Join:
    """How two results of a command are joined.

    Attributes:
        keys: columns that name a row; the first one tells kinds of rows apart, which get a chart each.
        read: the rows of a result: keys, value, low and high (null where there is no interval).
        unit: what the value is, with its unit, by the kind of rows and what tells of the results.
    """

    keys: tuple[str, ...]
    read: Callable[[Result], pa.Table]
    unit: Callable[[str, Mapping[str, Any]], str]


def joined(join: Join, first: Result, second: Result) -> tuple[pa.Table, int, int]:
    """Rows that both have, with columns first, first_low, first_high and likewise second; and how many only one has.

    Rows without a value are in neither.
    """
    tables = [_named(join.read(result), join.keys, side) for result, side in ((first, "first"), (second, "second"))]
    keys = list(join.keys)
    both = tables[0].join(tables[1], keys, join_type="inner", use_threads=False)
    both = both.sort_by([(key, "ascending") for key in keys])
    return both, tables[0].num_rows - both.num_rows, tables[1].num_rows - both.num_rows


def _named(table: pa.Table, keys: tuple[str, ...], side: str) -> pa.Table:
    """Keys and values under the names of a side."""
    known = table.filter(pc.is_finite(pc.fill_null(table["value"].cast(pa.float64()), float("nan"))))
    columns = {key: known[key] for key in keys}
    for name, column in ((side, "value"), (f"{side}_low", LOW), (f"{side}_high", HIGH)):
        given = known[column] if column in known.column_names else pa.nulls(known.num_rows)
        columns[name] = given.cast(pa.float64())
    return pa.table(columns)


def _effects(result: Result) -> pa.Table:
    table = read_parquet(result.folder / "effects.parquet")
    names = ["outcome", "layer", "feature", "arm", "reference", "effect", LOW, HIGH]
    parts = [effect_rows.tested(table, outcome).select(names) for outcome in result.about["outcomes"]]
    same = result.about["reading"]["settings"].get("noop_is_baseline", False)
    rows = [_one_way(row, UNCHANGED if same else ()) for row in pa.concat_tables(parts).to_pylist()]
    kinds = [(name, pa.string() if name in ("outcome", "contrast") else pa.int32()) for name in _EFFECT_KEYS]
    return pa.Table.from_pylist(rows, pa.schema([*kinds, *((name, pa.float64()) for name in ("value", LOW, HIGH))]))


_EFFECT_KEYS = ("outcome", "layer", "feature", "contrast")
# Arms that leave a feature as it is, where a sweep's settings say that they are the same.
UNCHANGED = ("noop", "baseline")


def _one_way(row: Mapping[str, Any], unchanged: tuple[str, ...]) -> dict[str, Any]:
    """An effect under one name for a contrast, whichever arm stands first and however the unchanged is called."""
    arm, reference = ("unchanged" if row[name] in unchanged else row[name] for name in ("arm", "reference"))
    value, low, high = row["effect"], row[LOW], row[HIGH]
    if arm == "unchanged" or (reference != "unchanged" and reference > arm):
        arm, reference = reference, arm
        value, low, high = (None if one is None else -one for one in (value, high, low))
    keys = {name: row[name] for name in _EFFECT_KEYS[:3]}
    return {**keys, "contrast": f"{arm} - {reference}", "value": value, LOW: low, HIGH: high}


def _screened(result: Result) -> pa.Table:
    table = read_parquet(result.folder / "screen.parquet")
    value = "d_stratified" if "d_stratified" in table.column_names else "d"
    kind = pa.array(["d"] * table.num_rows, pa.string())
    return table.select(["layer", "feature", value]).rename_columns({value: "value"}).append_column("kind", kind)


def _baselines(result: Result) -> pa.Table:
    table = evaluate.prompts_of(result.folder, list(evaluate.sets_of(result.folder)))
    return table.select(["set", "id", "normalised_difference"]).rename_columns({"normalised_difference": "value"})


def _scores(result: Result) -> pa.Table:
    """The scores of graphs, a row a score and prompt."""
    lines = (result.folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [
        {"score": score, "id": str(row["id"]), "value": row[score]}
        for row in map(json.loads, lines)
        for score in ("replacement", "completeness")
        if isinstance(row.get(score), float)
    ]
    return pa.Table.from_pylist(rows, pa.schema([("score", pa.string()), ("id", pa.string()), ("value", pa.float64())]))


JOINS: Mapping[str, Join] = {
    "patch_sweep": Join(_EFFECT_KEYS, _effects, patch_sweep.unit),
    "screen": Join(("kind", "layer", "feature"), _screened, lambda *_: "d (pooled standard deviations)"),
    "evaluate": Join(("set", "id"), _baselines, lambda *_: "right less wrong answer (nats a token)"),
    "attribute": Join(("score", "id"), _scores, lambda kind, _: f"{kind} score (share)"),
}
