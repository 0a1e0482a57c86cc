"""A replay in one page: `replay.json`, and the lines printed at the end."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine import scalars
from causeway.engine.analyses.as_published import replay_rules
from causeway.engine.analyses.replay.comparisons import FORCED, FREE
from causeway.engine.analyses.replay.gather import GENERATED, LAST
from causeway.engine.analyses.replay.pathways import DOWNSTREAM, THROUGH_TOKENS, PathwaySettings
from causeway.engine.analyses.replay.recorded import Recorded
from causeway.engine.earlier_results import feature_name
from causeway.engine.stats.agreement import agreement
from causeway.engine.stats.paired import FEWEST_DISTINCT, FEWEST_PROMPTS, METHOD

SHOWN = ("source_layer", "source_feature", "target_layer", "target_feature", "arm", "reference", "route", "measure",
         "step", "delta", "low", "high", "q", "correlation", "replicated", "exceeds_null", "is_pathway")  # fmt: skip
PAIR = ("source_layer", "source_feature", "arm", "reference", "target_layer", "target_feature")


@dataclasses.dataclass(frozen=True)
class Done:
    """What of the settings could be done.

    Attributes:
        split: whether prompts were split into halves. draws: random features of the source and value with fewest.
    """

    split: bool
    draws: int


def summarise(
    free: Recorded, pathways: pa.Table, sources: pa.Table, settings: PathwaySettings, done: Done, strongest: int = 20
) -> dict[str, Any]:
    """The summary, JSON-able.

    Args:
        strongest: pathways listed of each family.
    """
    names, counts = np.unique(free.group_of, return_counts=True)
    return {
        "prompts": {str(name): int(count) for name, count in zip(names, counts, strict=True)},
        "trials": free.trials,
        "steps": free.steps,
        "sources": len(set(zip(sources["layer"].to_pylist(), sources["feature"].to_pylist(), strict=True))),
        "edits": {name: free.settings[name] for name in ("scope", "form", "operation", "semantics")},
        "recorded": {name: free.recording[name] for name in ("stream", "layers", "reader", "width", "top_logits")},
        "reading": _reading(settings, done),
        "families": [_family(pathways, *key, strongest) for key in _families(pathways)],
        "free_against_teacher_forced": _agreement(pathways),
        "largest_change_that_cannot_be": _impossible(pathways),
        "rollouts_that_part": pc.mean(sources["parted"]).as_py(),
        "original_rule": {
            "p": replay_rules.ALPHA, "effect": replay_rules.LEAST_EFFECT,
            "pathways": int(pc.sum(pathways["original_is_pathway"]).as_py() or 0),
            "correlated": int(pc.sum(pathways["original_is_correlated"]).as_py() or 0),
        },
        "fingerprint": free.store.plan.fingerprint,
    }  # fmt: skip


def _reading(settings: PathwaySettings, done: Done) -> dict[str, Any]:
    """What a reader of the table must know."""
    return {
        "delta": "edited minus reference, mean over prompts of means over trials, in the dictionary's own scale",
        "reference": "noop: the same code path at the feature's own value; where it was not run, baseline, which it "
        "is to the bit in delta form",
        "unit": "prompt", "test": METHOD,
        "cannot tell": f"null below {FEWEST_PROMPTS} prompts, or {FEWEST_DISTINCT} off the others",
        "q": f"{settings.correction} over all pairs of a route, measure, step and reference", "alpha": settings.alpha,
        "generated": "mean over the generated tokens at which both rollouts still write",
        "split": done.split if done.split or not settings.split else f"not done: needs {2 * FEWEST_PROMPTS} prompts",
        "null band": f"+- the bound that one more random feature in the source's place stays within with probability "
        f"{1 - settings.alpha:g}", "random_draws": done.draws, "random_draws_needed": settings.draws,
        "seed": settings.seed,
    }  # fmt: skip


def _families(pathways: pa.Table) -> list[tuple[str, str, str, str]]:
    keys = zip(*(pathways[name].cast(pa.string()).to_pylist() for name in _FAMILY), strict=True)
    return sorted(set(keys))


_FAMILY = ("route", "measure", "step", "reference")


def _family(pathways: pa.Table, route: str, measure: str, step: str, reference: str, strongest: int) -> dict[str, Any]:
    """What one family holds."""
    rows = _where(pathways, route=route, measure=measure, step=step, reference=reference)
    size = np.nan_to_num(np.abs(rows["delta"].to_numpy()))
    decided = pc.fill_null(rows["is_pathway"], False).to_numpy(zero_copy_only=False)
    order = np.lexsort((-size, ~decided))[:strongest]
    return {
        "route": route, "measure": measure, "step": step, "reference": reference, "pairs": rows.num_rows,
        "tests": rows.num_rows - rows["q"].null_count, "pathways": int(decided.sum()),
        "cannot_tell": rows["is_pathway"].null_count,
        "strongest": scalars.without_nan(rows.take(order[size[order] > 0]).select(list(SHOWN)).to_pylist()),
    }  # fmt: skip


def _where(table: pa.Table, **wanted: str) -> pa.Table:
    for name, value in wanted.items():
        table = table.filter(pc.equal(table[name].cast(pa.string()), value))
    return table


def _agreement(pathways: pa.Table) -> dict[str, Any] | None:
    """Free against teacher-forced changes of generated tokens, downstream, over pairs; None where one is not there."""
    parts = [_where(pathways, route=DOWNSTREAM, step=GENERATED, measure=name) for name in (FREE, FORCED)]
    if not parts[1].num_rows:
        return None
    free, forced = (dict(zip(_pairs(part), part["delta"].to_pylist(), strict=True)) for part in parts)
    known = [key for key in free if free[key] is not None and forced.get(key) is not None]
    x, y = (np.array([deltas[key] for key in known]) for deltas in (forced, free))
    return {"pairs": len(known), **scalars.without_nan(agreement(x, y)._asdict())}


def _pairs(table: pa.Table) -> list[tuple]:
    return list(zip(*(table[name].to_pylist() for name in PAIR), strict=True))


def _impossible(pathways: pa.Table) -> float:
    """The largest change through tokens where the tokens are the same: anything but 0 is a fault."""
    through = _where(pathways, route=THROUGH_TOKENS)
    parts = [_where(through, measure=FORCED), _where(through, measure=FREE, step=LAST)]
    return float(max(np.nan_to_num(np.abs(part["delta"].to_numpy())).max(initial=0.0) for part in parts))


def lines(summary: Mapping[str, Any], shown: int = 5) -> list[str]:
    """The summary for a terminal."""
    prompts = ", ".join(f"{n} {name or 'unnamed'}" for name, n in summary["prompts"].items())
    out = [
        f"{summary['sources']} sources, {summary['trials']} trials of prompts: {prompts}; "
        f"{summary['rollouts_that_part']:.0%} of edited rollouts part from theirs",
    ]
    if isinstance(summary["reading"]["split"], str):
        out.append(f"halves of prompts: {summary['reading']['split']}; nothing is called a pathway")
    draws, needed = (summary["reading"][name] for name in ("random_draws", "random_draws_needed"))
    if draws < needed:
        out.append(f"random features: {draws} for each source and value, where {needed} are needed; no pathway is told")
    for family in summary["families"]:
        out += _lines(family, shown)
    if agreement := summary["free_against_teacher_forced"]:
        out.append(
            f"free against teacher-forced: slope {_number(agreement['slope'])}, Spearman "
            f"{_number(agreement['spearman'])}, same sign {_number(agreement['same_sign'])} of {agreement['pairs']} "
            "pairs"
        )
    if summary["largest_change_that_cannot_be"]:
        out.append(f"a change that cannot be was measured: {summary['largest_change_that_cannot_be']:.2g}")
    return out


def _lines(family: Mapping[str, Any], shown: int) -> list[str]:
    if not family["strongest"]:
        return []
    what = f"{family['route']}, {family['measure']}, {family['step']}, against {family['reference']}"
    found = f"{family['pathways']} pathways of {family['pairs']} pairs, {family['cannot_tell']} cannot be told"
    return [f"{what}: {found}", *(_line(row) for row in family["strongest"][:shown])]


def _line(row: Mapping[str, Any]) -> str:
    interval = "no interval" if row["low"] is None else f"[{row['low']:+.4f}, {row['high']:+.4f}]"
    verdict = {True: "  pathway", False: "", None: "  cannot tell"}[row["is_pathway"]]
    names = " -> ".join(feature_name(row[f"{end}_layer"], row[f"{end}_feature"]) for end in ("source", "target"))
    return f"  {names:<26} {row['arm']:<14} {row['delta']:+.4f} {interval}  q {_number(row['q'])}{verdict}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
