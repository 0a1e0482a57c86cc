"""A finished sweep in one page of numbers: `summary.json`, and the lines printed at the end.

Per outcome: how many features are called causal (and how many the family tested), by layer; the strongest features by
the size of their effect among the contrasts that are tested, with interval, q and what was decided; the share of each
outcome under every arm (so that a rise of other answers is seen); what intervals generalise over; and how much of the
probability the answers hold, since shares of next to nothing cannot move. `warnings` says which contrasts mix what a
feature does with what the dictionary's error does.
"""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.causal_rule import NEEDED
from causeway.engine.analyses.patch_sweep.cells import LOG_ODDS, OTHER, read_trials
from causeway.engine.analyses.patch_sweep.contrasts import FAMILY
from causeway.engine.analyses.patch_sweep.effect_results import ALL, CONFOUNDED
from causeway.engine.analyses.patch_sweep.effects import METADATA_KEY
from causeway.engine.intervention import scope
from causeway.engine.stats.paired import FEWEST_DISTINCT, FEWEST_PROMPTS

# Below this share of the probability, probabilities of answers say little.
LITTLE = 0.05
SHOWN = ("layer", "feature", "contrast", "effect", "low", "high", "interval", "p", "q", "is_causal", "not_evaluated")


def summarise(trials: pyarrow.dataset.Dataset, effects: pa.Table, strongest: int = 20) -> dict[str, Any]:
    """The summary of a sweep, JSON-able.

    Args:
        trials: the trials table. effects: its effects. strongest: features listed per outcome.
    """
    pooled = effects.filter(pc.and_(pc.equal(effects["group"], ALL), pc.is_in(effects["role"], pa.array(FAMILY))))
    cells = read_trials(trials)
    means = {
        name: {arm: _mean(outcome.at((slice(None), i))) for i, arm in enumerate(cells.arms)}
        for name, outcome in cells.outcomes.items()
    }
    return {
        "prompts": {name: int((cells.group_of == name).sum()) for name in cells.groups},
        "features": len(cells.layer),
        "arms": list(cells.arms),
        "mean_by_arm": means,
        "answers_hold": _answers_hold(means),
        "warnings": _warnings(pooled),
        "reading": json.loads(effects.schema.metadata[METADATA_KEY]),
        "outcomes": {
            name: _outcome(pooled.filter(pc.equal(pooled["outcome"], name)), strongest) for name in cells.outcomes
        },
    }


def _answers_hold(means: dict[str, dict[str, float | None]]) -> float | None:
    """The share of the probability that the answers hold without an edit; None of sampled trials."""
    by_arm = means.get(OTHER, {})
    other = next((by_arm[arm] for arm in ("baseline", "noop") if by_arm.get(arm) is not None), None)
    return None if other is None else 1 - other


def _warnings(rows: pa.Table) -> list[str]:
    """What a reader must beware of."""
    noted = pc.starts_with(rows["note"].cast(pa.string()), CONFOUNDED)
    names = pc.unique(rows["contrast"].cast(pa.string()).filter(noted)).to_pylist()
    if not names:
        return []
    return [
        f"{', '.join(sorted(names))}: what the feature does and what the dictionary's reconstruction error does cannot "
        "be told apart, as in the published study; a no-op arm has the error alone (add noop to --arms)"
    ]


def _mean(cells) -> float | None:
    """Mean over features, prompts and trials of one arm."""
    count = float(cells.count.sum())
    return float(cells.total.sum()) / count if count else None


def _outcome(rows: pa.Table, strongest: int) -> dict[str, Any]:
    causal = rows.filter(pc.fill_null(rows["is_causal"], False))
    pairs = set(zip(causal["layer"].to_pylist(), causal["feature"].to_pylist(), strict=True))
    untold = rows.filter(pc.and_(pc.is_null(rows["is_causal"]), pc.greater(rows["n_prompts"], 0)))
    layers, counts = np.unique([layer for layer, _ in pairs] or np.zeros(0, int), return_counts=True)
    size = np.nan_to_num(np.abs(rows["effect"].to_numpy().astype(np.float64)))
    decided = pc.fill_null(rows["is_causal"], False).to_numpy(zero_copy_only=False)
    order = np.lexsort((-size, ~decided))
    # A feature is listed once, by its largest contrast; causal ones first.
    pairs_of = np.stack([rows["layer"].to_numpy()[order], rows["feature"].to_numpy()[order]], axis=1)
    first = np.sort(np.unique(pairs_of, axis=0, return_index=True)[1])[:strongest]
    return {
        "tests": rows.num_rows,
        "causal_features": len(pairs),
        "cannot_tell": untold.num_rows,
        "cannot_tell_without": _reasons(untold),
        "causal_by_layer": {str(layer): int(n) for layer, n in zip(layers, counts, strict=True)},
        "strongest": scalars.without_nan(rows.take(order[first]).select(list(SHOWN)).to_pylist()),
    }


def _reasons(untold: pa.Table) -> list[str]:
    """What was needed and not evaluated, in rows that cannot be told."""
    listed = {name for text in untold["not_evaluated"].unique().to_pylist() for name in text.split(", ")}
    return [name for name in NEEDED if name in listed]


def count_original_rule(decisions: pa.Table) -> dict[str, int]:
    """How many features the original study's rule calls causal, in each of its contexts."""
    return {name: int(pc.sum(decisions[f"original_is_causal_{name}"]).as_py() or 0) for name in ("safe", "risky")}


def lines(summary: dict[str, Any], shown: int = 10) -> list[str]:
    """The summary for a terminal."""
    prompts = ", ".join(f"{n} {name}" for name, n in summary["prompts"].items())
    out = [f"{summary['features']} features, prompts: {prompts}, arms: {', '.join(summary['arms'])}"]
    if edits := summary.get("edits"):
        out.append(
            f"{edits['operation']} {scope.words(edits['scope'])} ({edits['scope']}), values: {edits['values']}, "
            f"{edits['form']} form"
        )
    out += [f"warning: {text}" for text in summary["warnings"]]
    share = summary["answers_hold"]
    if share is not None and share < LITTLE:
        out.append(f"the answers hold {share:.2g} of the probability; read {LOG_ODDS}, or give other answers")
    rows = [row for outcome in summary["outcomes"].values() for row in outcome["strongest"][:shown]]
    methods = dict.fromkeys(row["interval"] for row in rows if row["interval"] != "none")
    if methods:
        out.append(f"{summary['reading']['settings']['estimates']['confidence']:.0%} intervals: {'; '.join(methods)}")
    for name, outcome in summary["outcomes"].items():
        title = f"{name} ({summary['reading']['log_odds']})" if name == LOG_ODDS else name
        out += ["", *_lines(title, outcome, summary["mean_by_arm"][name].get("baseline"), shown)]
    return out


def _lines(name: str, outcome: dict[str, Any], baseline: float | None, shown: int) -> list[str]:
    """One outcome: what was found and the strongest features."""
    if not any(row["effect"] for row in outcome["strongest"]):
        return [f"{name}: no feature changes it"]
    level = "" if baseline is None else f"{baseline:.3f} without an edit; "
    found = f"{outcome['causal_features']} features causal ({outcome['tests']} tests)"
    if outcome["cannot_tell"]:
        missing = " and ".join(_MISSING[reason] for reason in outcome["cannot_tell_without"])
        found += f"; {outcome['cannot_tell']} tests cannot tell, for want of {missing}"
    return [f"{name}: {level}{found}", *(_line(row) for row in outcome["strongest"][:shown])]


_MISSING = {
    "q": f"{FEWEST_PROMPTS} prompts to test, {FEWEST_DISTINCT} of them moved",
    "effect": f"{FEWEST_PROMPTS} other prompts to estimate, {FEWEST_DISTINCT} of them moved",
    "envelope": "random features (19 or more: raise random_draws where features are few)",
}


def _line(row: dict[str, Any]) -> str:
    q = "-" if row["q"] is None else f"{row['q']:.2g}"
    interval = "no interval" if row["low"] is None else f"[{row['low']:+.4f}, {row['high']:+.4f}]"
    effect = float("nan") if row["effect"] is None else row["effect"]
    verdict = {True: "  causal", False: "", None: "  cannot tell"}[row["is_causal"]]
    label = f"layer {row['layer']:>2} feature {row['feature']:>6}"
    return f"  {label}  {row['contrast']:<28} {effect:+.4f} {interval}  q {q}{verdict}"
