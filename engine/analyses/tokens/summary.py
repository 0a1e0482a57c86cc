"""What is shown of the tables: the words of each feature that it adds and removes, and a page of lines.

    entries   of each feature, in the source document's form: {token, token_id, odds_ratio, p_value, baseline_count,
              patched_count} (its own statistic under its own names; its odds_ratio is a log ratio of counts), with ours
              beside. Listed are our tokens, and those that the document's rule lists: |log ratio| > 0.5 and p < 0.05
    effects   of each feature and contrast, words it adds and words it removes, the smallest p first
    parsers   the strongest effects on decisions as one parser has them, beside what others make of the same texts

Ours are those with q below alpha and an interval that leaves 0 out (`LISTED`). Lists have at most `keep` a (feature,
context, contrast, direction). Cost: sorting the rows shown.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine.analyses.tokens.associations import ADDS, REMOVES
from causeway.engine.analyses.tokens.outcomes import BY_MENU, LENGTH, RECORDED
from causeway.engine.earlier_results import feature_name, feature_names

ORIGINAL_RATIO, ORIGINAL_P = 0.5, 0.05
_SHOWN = 5
_EFFECT = ("layer", "feature", "context", "contrast", "outcome")
LISTED = "q < alpha, and an interval that leaves 0 out: p and interval are of different methods and may disagree"
_PLACE = ("layer", "feature", "context", "contrast", "direction")


def listed_units(associations: pa.Table) -> tuple[str, str]:
    """The units whose rows entries and effects list: tokens where there are some, and the widest words."""
    units = pc.unique(associations["unit"].cast(pa.string())).to_pylist()
    return next((name for name in ("token", "word", "word_group") if name in units), ""), next(
        (name for name in ("word_group", "word", "token") if name in units), ""
    )


def entries(associations: pa.Table, alpha: float, keep: int) -> dict[str, list[dict[str, Any]]]:
    """Feature -> its tokens in the source document's form."""
    unit, _ = listed_units(associations)
    ours = _listed(associations, alpha)
    theirs = pc.and_(
        pc.greater(pc.abs(associations["original_log_ratio"]), ORIGINAL_RATIO),
        pc.fill_null(pc.less(associations["original_p"], ORIGINAL_P), False),
    )
    table = _of_unit(associations.append_column("original", theirs), unit, pc.or_(ours, theirs))
    found: dict[str, list[dict[str, Any]]] = {}
    for name, row in _rows(_first(table, keep)):
        entry = {
            "token": row["text"], "token_id": row["token_id"], "odds_ratio": row["original_log_ratio"],
            "p_value": row["original_p"], "baseline_count": row["reference_count"],
            "patched_count": row["patched_count"],
        }  # fmt: skip
        ours_too = ("context", "contrast", "direction", "log_odds", "low", "high", "z", "p", "q", "test",
                    "reference_responses", "patched_responses", "original")  # fmt: skip
        found.setdefault(name, []).append(entry | {key: row[key] for key in ours_too})
    return found


def effects(associations: pa.Table, contrast: str, alpha: float, keep: int) -> dict[str, dict[str, list]]:
    """Feature -> {adds, removes}, each a list of words of one contrast with their context and statistics."""
    _, unit = listed_units(associations)
    mine = pc.equal(associations["contrast"].cast(pa.string()), contrast)
    table = _of_unit(associations, unit, pc.and_(mine, _listed(associations, alpha)))
    found: dict[str, dict[str, list]] = {}
    told = ("context", "log_odds", "low", "high", "p", "q", "reference_responses", "patched_responses",
            "reference_count", "patched_count")  # fmt: skip
    for name, row in _rows(_first(table, keep)):
        lists = found.setdefault(name, {ADDS: [], REMOVES: []})
        lists[row["direction"]].append({"word": row["text"], **{key: row[key] for key in told}})
    return found


def lines(associations: pa.Table, outcomes: pa.Table, about: Mapping[str, Any], alpha: float) -> list[str]:
    """A page for the screen."""
    told = [
        f"{about['responses']:,} responses of {about['features']:,} features; {about['comparisons']:,} comparisons, "
        + ", ".join(about["contrasts"])
    ]
    for name, context in about["contexts"].items():
        told.append(f"  {name}: {_plural(context['prompts'], 'prompt')}, tested over {context['unit']}s")
    for what in ("decided_without_responses", "responses_undecided"):
        if about.get(what):
            told.append(f"  {what.replace('_', ' ')}: {about[what]:,}, first {about[f'{what}_first'][0]}")
    if about["missing"]:
        told.append(f"  missing: {about['missing']:,} (feature, context, arm), first {about['missing_first'][0]}")
    if about["prompts_known"] < about["prompts"]:
        unknown = about["prompts"] - about["prompts_known"]
        told.append(f"  echoes stay in responses to {_plural(unknown, 'prompt')} whose text is not known (--prompts)")
    for unit, counts in about["units"].items():
        mine = pc.equal(associations["unit"].cast(pa.string()), unit)
        sure, listed = (pc.and_(mine, mask) for mask in (_below(associations, alpha), _listed(associations, alpha)))
        rows, sure, listed = (int(pc.sum(mask).as_py() or 0) for mask in (mine, sure, listed))
        told.append(
            f"{unit}s: {counts['distinct']:,} distinct; q < {alpha:g} in {sure:,} of {rows:,} rows, and an interval "
            f"that leaves 0 out in {listed:,}, which are listed"
        )
    told += _moved(outcomes, alpha)
    if unknown := about["responses_of_unknown_menu"]:
        told.append(
            f"  amounts of {' and '.join(BY_MENU)} are left out in {unknown:,} responses to prompts whose menu is not "
            "known (--prompts, with answers)"
        )
    told += _parsers(about["effects_by_parser"])
    _, unit = listed_units(associations)
    strongest = _of_unit(associations, unit, _listed(associations, alpha)).sort_by("p")
    for name, row in _rows(strongest.slice(0, _SHOWN)):
        told.append(
            f"  {name} {row['direction']} {row['text']!r} ({row['context']}, {row['contrast']}): log odds "
            f"{row['log_odds']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}], in {row['reference_responses']} of "
            f"{row['reference_trials']} responses, patched {row['patched_responses']} of {row['patched_trials']}"
        )
    return told


def _moved(outcomes: pa.Table, alpha: float) -> Iterator[str]:
    """How many effects each parser sees, of each outcome."""
    parser, outcome = (outcomes[name].cast(pa.string()) for name in ("parser", "outcome"))
    sure = _below(outcomes, alpha)
    for name in pc.unique(parser).to_pylist():
        mine = pc.equal(parser, name)
        kinds = pc.unique(outcome.filter(mine)).to_pylist()
        counts = [int(pc.sum(pc.and_(sure, pc.and_(mine, pc.equal(outcome, kind)))).as_py() or 0) for kind in kinds]
        moved = ", ".join(f"{kind} {count}" for kind, count in zip(kinds, counts, strict=True))
        what = f"effects on decisions, parser {name}" if name else f"effects on {LENGTH}"
        yield f"{what} (q < {alpha:g}): {moved}"


def by_parser(outcomes: pa.Table, strongest: int = 10) -> dict[str, Any]:
    """The strongest effects on decisions, by p under one parser, and what each parser makes of the same comparison.

    Returns:
        `chosen_by`, the recorded parser or else the three-state one; `effects`, a list of {feature, context, contrast,
        outcome, parsers: {name: {effect, low, high, q}}}, a parser that has no such outcome left out. JSON-able.
    """
    parser = outcomes["parser"].cast(pa.string())
    chosen = RECORDED if RECORDED in pc.unique(parser).to_pylist() else "three_state"
    mine = outcomes.filter(pc.and_(pc.equal(parser, chosen), pc.is_valid(outcomes["p"])))
    size = np.abs(mine["effect"].to_numpy())
    first = mine.take(np.lexsort((-size, mine["p"].to_numpy()))[:strongest])
    places: dict[tuple, dict[str, Any]] = {tuple(row[name] for name in _EFFECT): {} for row in first.to_pylist()}
    pairs = pc.is_in(outcomes["feature"], value_set=pc.unique(first["feature"]))
    for row in outcomes.filter(pairs).to_pylist():
        if (place := tuple(row[name] for name in _EFFECT)) in places and row["parser"]:
            places[place][row["parser"]] = {name: row[name] for name in ("effect", "low", "high", "q")}
    return {
        "chosen_by": chosen,
        "effects": [
            {"feature": feature_name(*place[:2]), **dict(zip(_EFFECT[2:], place[2:], strict=True)), "parsers": found}
            for place, found in places.items()
        ],
    }


def _parsers(told: Mapping[str, Any]) -> Iterator[str]:
    """The first of these effects, a column a parser."""
    shown = told["effects"][:_SHOWN]
    names = list(dict.fromkeys(name for row in shown for name in row["parsers"]))
    if not names:
        return
    places = [f"{row['feature']} {row['outcome']} ({row['context']}, {row['contrast']})" for row in shown]
    head = f"the strongest effects by parser {told['chosen_by']}, * where q < 0.05"
    width = max(len(head), *(len(place) + 2 for place in places))
    yield head.ljust(width) + "".join(f"{name:>13}" for name in names)
    for place, row in zip(places, shown, strict=True):
        yield f"  {place}".ljust(width) + "".join(f"{_cell(row['parsers'].get(name)):>13}" for name in names)


def _cell(found: Mapping[str, float | None] | None) -> str:
    if found is None or found["effect"] is None:
        return "-"
    return f"{found['effect']:+.3f}" + ("*" if found["q"] is not None and found["q"] < 0.05 else " ")


def _listed(associations: pa.Table, alpha: float) -> pa.ChunkedArray:
    """Rows of which test and interval agree."""
    return pc.and_(_below(associations, alpha), pc.fill_null(associations["interval_excludes_0"], False))


def _below(table: pa.Table, alpha: float) -> pa.ChunkedArray:
    return pc.fill_null(pc.less(table["q"], alpha), False)


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("s" if count != 1 else "")


def _of_unit(table: pa.Table, unit: str, mask: pa.ChunkedArray) -> pa.Table:
    return table.filter(pc.and_(mask, pc.equal(table["unit"].cast(pa.string()), unit)))


def _first(table: pa.Table, keep: int) -> pa.Table:
    """The first `keep` rows of each place, by p."""
    if not table.num_rows:
        return table
    place = np.zeros(table.num_rows, np.int64)
    for name in _PLACE:
        values = table[name].cast(pa.string()) if pa.types.is_dictionary(table[name].type) else table[name]
        number = values.dictionary_encode().combine_chunks().indices.to_numpy().astype(np.int64)
        place = np.unique(place * (int(number.max()) + 1) + number, return_inverse=True)[1]
    p = table["p"].to_numpy()
    order = np.lexsort((p, place))
    starts = np.concatenate([[True], np.diff(place[order]) > 0])
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    return table.take(np.sort(order[rank < keep]))


def _rows(table: pa.Table) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows with the names of their features."""
    yield from zip(feature_names(table), table.to_pylist(), strict=True)
