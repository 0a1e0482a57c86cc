"""`cw.select`: the features of an earlier study that are followed, strongest first."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine import scalars
from causeway.engine.analyses.screen.values import feature_values, groups_of, numbers, whole_numbers
from causeway.engine.analyses.select.estimated import with_estimates
from causeway.engine.analyses.select.strength import RANKS, RankBy, strength, strongest
from causeway.engine.earlier_results import CONTEXTS, FEATURES, VALUE, EarlierResults, check_earlier, feature_names

# Taken of each layer, unless another number is asked for.
PER_LAYER = 50
# Whose word it is that a feature is causal: of the criteria of `patch_sweep`, or of the published study's rule.
Verdict = Literal["ours", "study"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclasses.dataclass(frozen=True)
class Selected:
    """The features taken.

    Attributes:
        features: `FEATURES`, further columns value_<group>, strength and rank; the strongest first.
        about: how they were taken, JSON-able: rank_by, the numbers left out and why.
    """

    features: pa.Table
    about: Mapping[str, Any]


def select(
    results: EarlierResults | None = None,
    *,
    screen: pa.Table | None = None,
    rank_by: RankBy = "cohen_d",
    per_layer: int = PER_LAYER,
    top_total: int | None = None,
    only_causal: bool = True,
    verdict: Verdict | None = None,
    value: str | Mapping[str, float] = "mean_active",
) -> Selected:
    """Choose features of an earlier study, or of a screen alone.

    Args:
        results: as `read_earlier` gives them; None takes the features of the screen.
        screen: a table with layer and feature, and any of d (or cohen_d), means and value_<group>: where cohen_d and
            values come from, as far as the results have none.
        rank_by: cohen_d, effect, interval or all (`strength`).
        per_layer: taken of each layer. top_total: taken in all, in place of that.
        only_causal: leave out features that are not declared causal; of a screen alone none is declared.
        verdict: whose declaration that is: ours (the criteria of `patch_sweep`: needs ten prompts or more and random
            features) or the study's (its own rule, in either of its contexts; of a sweep where the study's arms were
            sampled). None: ours of a sweep, the study's of the published files, which have no other.
        value: which of the screen's columns values come from ("mean", "mean_active", "q90"), or a number a group, where
            it has no value_<group>.

    Raises:
        ValueError: neither results nor a screen, a verdict that the results have not, nothing known to rank by, or no
            feature left.
    """
    _check(results, screen, rank_by, per_layer, top_total, only_causal, value)
    judge = _judge(results, verdict)
    told = None if screen is None else _screened(screen, value)
    about: dict[str, Any] = {"rank_by": rank_by, "per_layer": None if top_total else per_layer, "top_total": top_total}
    table, version = _features(results, told, rank_by)
    left_out = 0
    if results is not None and only_causal:
        causal = table.filter(_declared(table, judge, results.kind))
        left_out = table.num_rows - causal.num_rows
        if not causal.num_rows:
            raise ValueError(_none_declared(table, judge))
        table = causal
    chosen = strongest(table, rank_by, per_layer, top_total)
    values = [name for name in chosen.column_names if name.startswith(VALUE)]
    lacking = chosen.filter(_any_null(chosen, values)) if values else chosen
    about |= {
        "selected": chosen.num_rows, "candidates": table.num_rows, "not_causal": left_out,
        "verdict": judge if results is not None and only_causal else None,
        "without_strength": _unknown(table, rank_by), "estimated_by_rule": version,
        "values": [name.removeprefix(VALUE) for name in values], "without_values": feature_names(lacking),
    }  # fmt: skip
    return Selected(chosen, about)


def _check(
    results: EarlierResults | None, screen: pa.Table | None, rank_by: str, per_layer: int, top_total: int | None,
    only_causal: bool, value: str | Mapping[str, float],
) -> None:  # fmt: skip
    if results is None and screen is None:
        raise ValueError("results: got None, and no screen; needs what read_earlier gives, or a screen's table")
    if results is not None:
        check_earlier(results)
        if not results.features.num_rows:
            raise ValueError("results: have no feature; give checkpoints, or a finished sweep")
    if screen is not None and not (isinstance(screen, pa.Table) and {"layer", "feature"} <= set(screen.column_names)):
        got = ", ".join(screen.column_names) if isinstance(screen, pa.Table) else scalars.shown(screen)
        raise ValueError(f"screen: got {got}; needs a table with layer and feature")
    if rank_by not in RANKS:
        raise ValueError(f"rank_by: got {scalars.shown(rank_by)}; needs one of {', '.join(RANKS)}")
    scalars.truth(only_causal, "only_causal")
    if isinstance(value, Mapping):
        for name, number in value.items():
            scalars.real(number, f"value of {name}")
    else:
        scalars.text(value, "value")
    scalars.integer(per_layer, "per_layer", 1)
    if top_total is not None:
        scalars.integer(top_total, "top_total", 1)


def _judge(results: EarlierResults | None, verdict: Verdict | None) -> Verdict:
    """Whose verdict counts."""
    if verdict not in (None, *VERDICTS):
        raise ValueError(f"verdict: got {scalars.shown(verdict)}; needs one of {', '.join(VERDICTS)}")
    published = results is not None and results.kind == "study"
    if published and verdict == "ours":
        raise ValueError("verdict: got ours, but a published study's files hold its own alone; leave it out")
    if not published and verdict == "study" and (results is None or not _told_contexts(results.features)):
        raise ValueError(
            "verdict: got study, but its rule decided nothing here; needs a sweep with --outcome=sampled of the arms "
            "baseline and patch on prompts of the groups safe and risky"
        )
    return verdict or ("study" if published else "ours")


def _told_contexts(table: pa.Table) -> list[pa.ChunkedArray]:
    """What the study's rule decided in each of its contexts, of those where it decided anything."""
    columns = [table[f"is_causal_{context}"] for context in CONTEXTS]
    return [column for column in columns if column.null_count < table.num_rows]


def _declared(table: pa.Table, judge: Verdict, kind: str) -> pa.ChunkedArray:
    """Causal by that verdict: in published files the column is the study's; of a sweep, in either of its contexts."""
    columns = _told_contexts(table) if judge == "study" and kind != "study" else [table["is_causal"]]
    filled = [pc.fill_null(column, False) for column in columns]
    return functools.reduce(pc.or_, filled)


def _none_declared(table: pa.Table, judge: Verdict) -> str:
    """Why nothing is left, and what helps."""
    untold = table["is_causal"].null_count if judge == "ours" else 0
    said = f"results: none of {table.num_rows} features is declared causal"
    said += f" (of {untold} it cannot be told)" if untold else ""
    helps = "take the study's own rule (verdict='study', --verdict=study), or " if judge == "ours" and any(
        pc.any(column).as_py() for column in _told_contexts(table)
    ) else ""  # fmt: skip
    return f"{said}; {helps}select others too (only_causal=False, --noonly_causal)"


def _features(results: EarlierResults | None, screen: pa.Table | None, rank_by: str) -> tuple[pa.Table, str | None]:
    """The candidates with all that is known of them, and the rule's version where effects were estimated."""
    if results is None:
        assert screen is not None
        empty = {field.name: pa.nulls(screen.num_rows, field.type) for field in FEATURES}
        columns = empty | {name: screen[name] for name in screen.column_names}
        return pa.table(columns).select([*FEATURES.names, *(n for n in columns if n.startswith(VALUE))]), None
    table, version = results.features, None
    needed = {"effect": ["effect"], "interval": ["low", "high"]}.get(rank_by, [])
    if any(table[name].null_count == table.num_rows for name in needed) and results.responses.num_rows:
        table, version = with_estimates(results)
    return (table if screen is None else _joined(table, screen)), version


def _screened(screen: pa.Table, value: str | Mapping[str, float]) -> pa.Table:
    """layer, feature, cohen_d, p, q (of the screen) and value_<group>, as far as a screen's table tells them."""
    layer, feature = (whole_numbers(screen, name) for name in ("layer", "feature"))
    columns = {"layer": pa.array(layer, pa.int32()), "feature": pa.array(feature, pa.int32())}
    d = next((name for name in ("cohen_d", "d") if name in screen.column_names), None)
    if d:
        columns["cohen_d"] = pa.array(numbers(screen, d), from_pandas=True)
    explicit = [name for name in screen.column_names if name.startswith(VALUE)]
    columns |= {name: pa.array(numbers(screen, name), from_pandas=True) for name in explicit}
    if not explicit and groups_of(screen):
        values = feature_values(screen, value).values
        columns |= {f"{VALUE}{group}": pa.array(column) for group, column in values.items()}
    table = pa.table(columns)
    pairs = np.stack([layer, feature], axis=1)
    if len(np.unique(pairs, axis=0)) < len(pairs):
        raise ValueError("screen: names a feature twice; needs one row a (layer, feature)")
    return table


def _joined(table: pa.Table, screen: pa.Table) -> pa.Table:
    """The features with cohen_d and values of the screen, where they have none of their own."""
    place = {pair: i for i, pair in enumerate(_pairs(screen))}
    at = pa.array([place.get(pair) for pair in _pairs(table)], pa.int64())
    for name in screen.column_names[2:]:
        found = screen[name].combine_chunks().take(at)
        if name in table.column_names:
            own = pc.coalesce(table[name].combine_chunks(), found)
            table = table.set_column(table.column_names.index(name), table.schema.field(name), own)
        else:
            table = table.append_column(name, found)
    return table


def _pairs(table: pa.Table) -> list[tuple[int, int]]:
    return list(zip(table["layer"].to_pylist(), table["feature"].to_pylist(), strict=True))


def _any_null(table: pa.Table, names: list[str]) -> pa.Array:
    nulls = [pc.is_null(table[name]).to_numpy(zero_copy_only=False) for name in names]
    return pa.array(np.any(nulls, axis=0))


def _unknown(table: pa.Table, rank_by: RankBy) -> int:
    """Candidates that could not be ranked."""
    return int(np.isnan(strength(table, rank_by)).sum())
