"""The features table of earlier results: what was decided of each feature, from either of two sources.

    decisions   of the study's own rule: a test in each of two contexts, of which the larger effect is `effect`. Its p
                is that of the better of two tests, so it is doubled: the smaller of two null p values is below 0.05 in
                9.8 % of cases, twice it in 4.9 %. What is a large bet depends on the rule's version (`RULES`): above
                $15, or $20 and more.
    effects     of a `patch_sweep`: the contrast and outcome with the largest |effect| over all prompts, among those
                that can be called causal and, where there are any, among probabilities of answers, which share a unit.
                Its p is multiplied by how many it was chosen from; q already counts all of them.

Shapes: F features. Cost: sorting.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine.analyses.as_published.causal_rule import RULES
from causeway.engine.analyses.patch_sweep.cells import INVALID, OTHER
from causeway.engine.analyses.patch_sweep.contrasts import FAMILY
from causeway.engine.analyses.patch_sweep.effect_results import ALL
from causeway.engine.earlier_results import CONTEXTS, FEATURES, feature_name

_UNREAD = (OTHER, f"p_{INVALID}")


def tests_of(rule: str) -> dict[str, tuple[str, str]]:
    """What a version of the study's rule counts in each of its contexts, and between which arms."""
    own = RULES[rule]
    outcomes = {own.safe: "stop", own.risky: f"bet above {own.large_bet:g}"}
    return {context: (outcome, f"patch:{context} - baseline") for context, outcome in outcomes.items()}


def of_decisions(rows: Sequence[Mapping[str, Any]], rule: str = "v1") -> tuple[pa.Table, tuple[str, ...]]:
    """The table of decided features, each once and in order, and the names of those decided twice and differently.

    Args:
        rows: mappings with layer, feature, source and any of the other columns of `FEATURES` (effect, p, outcome and
            contrast are derived from those of the contexts), and value_<group>.
        rule: the version of the study's rule (`RULES`) that decided.
    """
    tests = tests_of(rule)
    first: dict[tuple[int, int], Mapping[str, Any]] = {}
    conflicting: dict[str, None] = {}
    for row in rows:
        kept = first.setdefault((row["layer"], row["feature"]), row)
        if _told(kept) != _told(row):
            conflicting[feature_name(row["layer"], row["feature"])] = None
    ordered = [{**first[key], **_strongest_context(first[key], tests)} for key in sorted(first)]
    values = dict.fromkeys(name for row in ordered for name in row if name not in FEATURES.names)
    schema = pa.schema([*FEATURES, *((name, pa.float64()) for name in values)])
    return pa.Table.from_pylist(ordered, schema), tuple(conflicting)


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "source"}


def _strongest_context(row: Mapping[str, Any], tests: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    sizes = {context: row.get(f"effect_{context}") for context in tests}
    known = {context: size for context, size in sizes.items() if size is not None}
    if not known:
        return {}
    context = max(known, key=lambda name: abs(known[name]))
    p = row.get(f"p_{context}")
    outcome, contrast = tests[context]
    return {
        "effect": known[context], "p": None if p is None else min(1.0, len(known) * p), "outcome": outcome,
        "contrast": contrast,
    }  # fmt: skip


def of_effects(effects: pa.Table, source: str, original: pa.Table | None = None) -> pa.Table:
    """The table of a sweep's features.

    Args:
        effects: `effects.parquet`. source: the file's name.
        original: what the study's rule decided (`original_rule.parquet`), where it was evaluated.
    """
    pooled = effects.filter(pc.and_(pc.equal(effects["group"], ALL), pc.is_in(effects["role"], pa.array(FAMILY))))
    outcomes = pooled["outcome"].cast(pa.string())
    answers = [name for name in pc.unique(outcomes).to_pylist() if name.startswith("p_") and name not in _UNREAD]
    compared = pooled.filter(pc.is_in(outcomes, pa.array(answers))) if answers else pooled
    chosen, tests = _largest(compared)
    columns = {name: chosen[name] for name in ("layer", "feature", "effect", "low", "high", "q", "outcome", "contrast")}
    p = np.minimum(chosen["p"].to_numpy(zero_copy_only=False).astype(np.float64) * tests, 1.0)
    columns["p"] = pa.array(p, from_pandas=True)
    columns["source"] = pa.array([source] * chosen.num_rows)
    table = pa.table(columns).join(_declared(pooled), ["layer", "feature"])
    if original is not None:
        table = table.join(_of_contexts(original), ["layer", "feature"])
    absent = [field for field in FEATURES if field.name not in table.column_names]
    for field in absent:
        table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(FEATURES.names).cast(FEATURES).sort_by([("layer", "ascending"), ("feature", "ascending")])


def _largest(rows: pa.Table) -> tuple[pa.Table, np.ndarray]:
    """The row of each feature with the largest |effect|, and how many it had."""
    layer, feature = (rows[name].to_numpy() for name in ("layer", "feature"))
    size = np.nan_to_num(np.abs(rows["effect"].to_numpy(zero_copy_only=False).astype(np.float64)), nan=-1.0)
    order = np.lexsort((-size, feature, layer))
    pairs = np.stack([layer[order], feature[order]], axis=1)
    _, first, count = np.unique(pairs, axis=0, return_index=True, return_counts=True)
    return rows.take(order[first]), count


def _declared(pooled: pa.Table) -> pa.Table:
    """Causal where any contrast and outcome is, null where none is and some cannot be told."""
    told = pa.table({
        "layer": pooled["layer"], "feature": pooled["feature"],
        "yes": pc.fill_null(pooled["is_causal"], False), "open": pc.is_null(pooled["is_causal"]),
    })  # fmt: skip
    found = told.group_by(["layer", "feature"]).aggregate([("yes", "any"), ("open", "any")])
    null = pa.scalar(None, pa.bool_())
    open_, yes = found["open_any"], found["yes_any"]
    decided = pc.if_else(pc.and_(open_, pc.invert(yes)), null, yes)
    return pa.table({"layer": found["layer"], "feature": found["feature"], "is_causal": decided})


def _of_contexts(original: pa.Table) -> pa.Table:
    columns = {name: original[name] for name in ("layer", "feature")}
    for context in CONTEXTS:
        columns[f"is_causal_{context}"] = original[f"original_is_causal_{context}"]
        columns[f"effect_{context}"] = original[f"original_{context}_effect_size"]
        columns[f"p_{context}"] = original[f"original_{context}_p_value"]
    return pa.table(columns)
