"""What interventions do over prompts: mean effects with intervals, tests corrected for their number, recoveries.

    effect = baseline - intervened        recovery = (intervened - baseline) / (clean - baseline)

Rows of a table are gathered by (kind, operation, value, layer, place) and, of single features, by feature, and averaged
over the prompts they were run on: features taken from graphs are met on some prompts only. p and the intervals are
`engine.stats.paired`'s, neither where the prompts are too few to tell; q adjusts p among all of one operation. A
recovery is left out (NaN) where clean and corrupt differ by less than `min_gap`: a ratio over next to nothing is noise.

Shapes: N rows of the summary, P prompts.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine.analyses.intervene.predicted import agreement
from causeway.engine.stats.multiple import Method, adjust
from causeway.engine.stats.paired import FEWEST_DISTINCT, FEWEST_PROMPTS, METHOD, paired_mean

KEY = ("kind", "operation", "value", "layer", "place", "features")


@dataclasses.dataclass(frozen=True)
class SummarySettings:
    """How effects over prompts are estimated.

    Attributes:
        confidence: of intervals. correction: bh or by.
        min_gap: smallest |clean - corrupt| of which a recovery is a share.
    """

    confidence: float = 0.95
    correction: Method = "bh"
    min_gap: float = 0.1


def summary_of(tables: Iterable[pa.Table], settings: SummarySettings = SummarySettings()) -> dict[str, Any] | None:
    """Means over prompts (`summarise`) and predictions against effects (`agreements`); None without rows.

    Args:
        tables: one a prompt.
    """
    parts = list(tables)
    if not parts:
        return None
    reading = {
        "effect": "baseline - intervened, mean over the prompts a row was run on",
        "recovery": "(intervened - baseline) / (clean - baseline), mean over prompts",
        "interval": f"{settings.confidence:.0%}, of the mean over prompts like these; {METHOD}",
        "p": "by the interval's own method: below 0.05 where a 95 % interval leaves 0 out",
        "cannot tell": f"interval, p, q are null below {FEWEST_PROMPTS} prompts, or {FEWEST_DISTINCT} off the others",
        "q": f"{settings.correction} among the rows of one operation; too small where effects are strongly skewed",
        "slope": "of measured over predicted changes of single features, a graph each",
    }
    return {
        "reading": reading,
        "settings": dataclasses.asdict(settings),
        "prompts": len(parts),
        "effects": summarise(pa.concat_tables(parts), settings),
        "predicted_and_measured": agreements(parts),
    }


def summarise(rows: pa.Table, settings: SummarySettings = SummarySettings()) -> list[dict[str, Any]]:
    """A row for each set of features and operation, in order of first appearance."""
    records = rows.select([*KEY, "prompt", "baseline", "intervened", "clean"]).to_pylist()
    keys = [_key(record) for record in records]
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    prompts = {prompt: i for i, prompt in enumerate(dict.fromkeys(r["prompt"] for r in records))}
    effects = np.full((len(numbers), len(prompts)), np.nan)
    recoveries = effects.copy()
    for key, record in zip(keys, records, strict=True):
        at = numbers[key], prompts[record["prompt"]]
        effects[at] = record["baseline"] - record["intervened"]
        recoveries[at] = recovery(record["baseline"], record["intervened"], record["clean"], settings.min_gap)
    return _table(list(numbers), effects, recoveries, settings)


def _key(record: dict[str, Any]) -> tuple:
    """Sets of several features differ from prompt to prompt; what they have in common is their kind, and a layer set
    its layer: that one prompt's circuit lies in a single layer does not make it another kind of row."""
    if record["kind"] in ("circuit", "complement"):
        record = record | {"layer": -1}
    features = tuple(record["features"]) if record["kind"] == "single" else ()
    return (*(record[name] for name in KEY[:-1]), features)


def recovery(baseline: float, intervened: float, clean: float | None, min_gap: float = 0.0) -> float:
    """The share of the clean run's logit difference that a patch brings back; NaN below the gap or without a clean."""
    if clean is None or not abs(clean - baseline) > min_gap:
        return float("nan")
    return (intervened - baseline) / (clean - baseline)


def _table(
    keys: list[tuple], effects: Float[np.ndarray, "N P"], recoveries: Float[np.ndarray, "N P"], s: SummarySettings
) -> list[dict[str, Any]]:
    if not keys:
        return []
    effect, restored = (paired_mean(values, confidence=s.confidence) for values in (effects, recoveries))
    p, q = effect.p, np.full(len(effect.p), np.nan)
    operations = np.array([key[1] for key in keys])
    for operation in np.unique(operations):
        mine = operations == operation
        q[mine] = adjust(p[mine], s.correction).q
    return [
        dict(zip(KEY, key, strict=True)) | {
            "prompts": int(effect.prompts[i]), "effect": effect.effect[i], "effect_low": effect.low[i],
            "effect_high": effect.high[i], "p": p[i], "q": q[i], "recovery_prompts": int(restored.prompts[i]),
            "recovery": restored.effect[i], "recovery_low": restored.low[i], "recovery_high": restored.high[i],
        }
        for i, key in enumerate(keys)
    ]  # fmt: skip


def agreements(tables: Iterable[pa.Table]) -> list[dict[str, Any]]:
    """For every prompt's graph and operation, how measured changes of single features follow the predicted ones."""
    found = []
    for table in tables:
        columns = {name: table[name].to_numpy(zero_copy_only=False) for name in ("predicted", "baseline", "intervened")}
        kind, operation = (np.array(table[name].to_pylist(), object) for name in ("kind", "operation"))
        for name in dict.fromkeys(operation.tolist()):
            mine = (kind == "single") & (operation == name)
            change = (columns["intervened"] - columns["baseline"])[mine]
            followed = agreement(columns["predicted"][mine].astype(float), change)
            if followed.points:
                found.append({"id": table["id"][0].as_py(), "operation": name, **dataclasses.asdict(followed)})
    return found


def effect_lines(summary: dict[str, Any], shown: int = 10) -> list[str]:
    """What a person reads first: the strongest rows of a summary (`summary_of`) with interval, recovery and q, and its
    predictions held to it.

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
