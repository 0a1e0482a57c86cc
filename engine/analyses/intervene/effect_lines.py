"""What interventions did, in the lines a person reads first: the strongest effects, and how predictions held.

An effect is the baseline's logit difference less the intervened one: what the feature was worth to the right answer.
"""

from typing import Any

import numpy as np


def effect_lines(summary: dict[str, Any], shown: int = 10) -> list[str]:
    """The strongest rows of a summary (`summary_of`) with interval, recovery and q, and its predictions held to it.

    Args:
        summary: of one behaviour. shown: rows at most.
    """
    rows = sorted(summary["effects"], key=lambda row: -abs(row["effect"]))
    out = [
        f"  the {min(shown, len(rows))} strongest of {len(rows)}: effect = baseline - intervened logit difference,"
        " mean over the prompts that have the feature"
    ]
    for row in rows[:shown]:
        interval = f"[{row['effect_low']:+.3f}, {row['effect_high']:+.3f}]" if _known(row["effect_low"]) else "-"
        recovery = f"  recovery {row['recovery']:+.2f}" if _known(row["recovery"]) else ""
        q = f"q {row['q']:.2g}" if _known(row["q"]) else "q -"
        out.append(
            f"    {_name(row):<34} {row['operation']:<8} {row['effect']:+8.3f} {interval:<18}  {q}  "
            f"on {row['prompts']}{recovery}"
        )
    return out + _agreement(summary["predicted_and_measured"])


def _name(row: dict[str, Any]) -> str:
    where = f" at {row['place']}" if row["place"] else ""
    if row["kind"] == "single":
        return f"layer {row['layer']:>2} feature {row['features'][0]:>6}{where}"
    return f"{row['kind']} of layer {row['layer']}{where}" if row["layer"] >= 0 else f"{row['kind']}{where}"


def _agreement(found: list[dict[str, Any]]) -> list[str]:
    """One line over all graphs whose predictions could be compared with enough rows."""
    known = [one for one in found if _known(one["slope"])]
    if not known:
        return []
    slope, pearson = (float(np.median([one[name] for one in known])) for name in ("slope", "pearson"))
    points = sum(one["points"] for one in known)
    return [
        f"  predicted by the graphs and measured, single features: slope {slope:.2f}, correlation {pearson:.2f} "
        f"(median over {len(known)} graphs, {points} features)"
    ]


def _known(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))
