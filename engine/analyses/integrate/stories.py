"""One nested story a feature: its effect, what drives it and what it drives, its words, its behaviours, its chains.

Every part says which table it is `from`; `integrated.json` names the file and sha256 of each. Lists hold the strongest
`top` of what was found and stand beside the counts of what was found and of what was looked at. Units and signs:

    effect            change of behaviour when the feature is set to its patch value, as its sweep defines it
    pathways          effect: change of the target's pre-activation when the source is set, mean over prompts; drive:
                      that for each unit by which the source was changed, so above 0 where more of it is more of the
                      target
    replay            the same in rollouts (free) or on the clean continuation (teacher_forced)
    words             log odds of a text in patched against reference responses; above 0 added, below 0 removed
    behaviours        change of a parsed outcome, patched less reference
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from causeway.engine.analyses.integrate import by_feature
from causeway.engine.analyses.integrate.by_feature import DIRECTIONS, UNITS, Feature, Rows, name_of
from causeway.engine.analyses.integrate.inputs import Inputs

_EFFECT = (
    "effect", "low", "high", "p", "q", "outcome", "contrast", "is_causal", "is_causal_safe", "is_causal_risky", "source"
)  # fmt: skip
_PATH = ("drive", "effect", "low", "high", "q", "predicted", "prompts", "stratum")
_REPLAY = (
    "arm", "reference", "route", "measure", "step", "delta", "low", "high", "q", "correlation", "prompts", "replicated"
)  # fmt: skip
_TEXT = (
    "text", "context", "contrast", "contrasts", "log_odds", "low", "high", "z", "q", "reference_count", "patched_count"
)  # fmt: skip
_OUTCOME = ("outcome", "context", "contrast", "parser", "effect", "low", "high", "q")
_CHAIN = ("path", "length", "total", "mediated", "low", "high", "q", "share")
# Evidence: parts of a story that hold something found.
PARTS = ("effect", "upstream", "downstream", "replay", "texts", "behaviours")


@dataclasses.dataclass(frozen=True)
class Gathered:
    """The rows that stories are told from, by feature; each `*_looked` counts rows that were looked at."""

    stages: Mapping[Feature, set[str]]
    select: Rows
    effects: Rows
    upstream: Rows
    downstream: Rows
    upstream_looked: Mapping[Feature, int]
    downstream_looked: Mapping[Feature, int]
    replay: Rows
    replay_looked: Mapping[Feature, int]
    through_tokens: Rows
    texts: Rows
    texts_found: Mapping[Feature, int]
    texts_looked: Mapping[Feature, int]
    outcomes: Rows
    outcomes_looked: Mapping[Feature, int]
    chains: Rows


def gather(inputs: Inputs, alpha: float, top: int) -> Gathered:
    """Rows by feature; of texts the strongest `top` of each unit and direction."""
    found, pathways = by_feature.pathways_found(inputs, alpha), inputs.rows("pathways")
    downstream, through = by_feature.replay_parts(inputs)
    texts, outcomes = (by_feature.significant(inputs.rows(name), alpha) for name in ("associations", "outcomes"))
    chains: dict[Feature, list[dict[str, Any]]] = {}
    for row in by_feature.chains_found(inputs, alpha):
        for feature in by_feature.features_of(row["path"]):
            chains.setdefault(feature, []).append(row)
    return Gathered(
        by_feature.all_features(inputs), by_feature.grouped(inputs.rows("select")),
        by_feature.grouped(inputs.rows("effects")), by_feature.grouped(found, "target_"),
        by_feature.grouped(found, "source_"), by_feature.counted(pathways, "target_"),
        by_feature.counted(pathways, "source_"),
        by_feature.grouped(by_feature.replay_found(downstream, alpha), "source_"),
        by_feature.counted(downstream, "source_"),
        by_feature.grouped(by_feature.replay_found(through, alpha), "source_"),
        by_feature.grouped(by_feature.best_texts(texts, top)), by_feature.counted(texts),
        by_feature.counted(inputs.rows("associations")), by_feature.grouped(outcomes),
        by_feature.counted(inputs.rows("outcomes")), chains,
    )  # fmt: skip


def story(rows: Gathered, feature: Feature, alpha: float, top: int) -> dict[str, Any]:
    """The story of a feature; parts of stages that do not name it are None."""
    stages = rows.stages[feature]
    select = rows.select.get(feature, [{}])[0]
    told: dict[str, Any] = {
        "feature": name_of(feature), "layer": feature[0], "feature_id": feature[1], "stages": sorted(stages),
        "cohen_d": select.get("cohen_d"),
        "effect": None, "upstream": None, "downstream": None, "replay": None, "texts": None, "behaviours": None,
        "chains": [],
    }  # fmt: skip
    if effects := rows.effects.get(feature):
        told["effect"] = _picked(effects[0], _EFFECT) | {"found": _below(effects[0]["q"], alpha), "from": "effects"}
        if told["cohen_d"] is None:
            told["cohen_d"] = effects[0].get("cohen_d")
    if "pathways" in stages:
        told["upstream"] = _ends(rows.upstream.get(feature, []), rows.upstream_looked.get(feature, 0), "source", top)
        told["downstream"] = _ends(
            rows.downstream.get(feature, []), rows.downstream_looked.get(feature, 0), "target", top
        )
        told["chains"] = [_picked(row, _CHAIN) for row in rows.chains.get(feature, [])[:top]]
    if "replay" in stages:
        told["replay"] = _replay(rows, feature, top)
    if "tokens" in stages:
        told["texts"] = _texts(rows, feature)
        found = by_feature.ordered(rows.outcomes.get(feature, []), "effect")
        told["behaviours"] = {
            "found": len(found), "looked_at": rows.outcomes_looked.get(feature, 0),
            "strongest": [_picked(row, _OUTCOME) for row in found[:top]], "from": "outcomes",
        }  # fmt: skip
    told["evidence"] = [part for part in PARTS if told[part] and told[part]["found"]]
    return told


def strength(story: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sorts stories: most evidence first, then the largest effect, then the largest d."""
    effect = story["effect"]["effect"] if story["effect"] else None
    sizes = (0.0 if value is None or value != value else -abs(value) for value in (effect, story["cohen_d"]))
    return (-len(story["evidence"]), *sizes, story["layer"], story["feature_id"])


def _ends(found: list[dict[str, Any]], looked: int, end: str, top: int) -> dict[str, Any]:
    """The pathways of one side."""
    rows = by_feature.ordered(found, "effect")
    strongest = [
        {"feature": name_of((row[f"{end}_layer"], row[f"{end}_feature"]))} | _picked(row, _PATH) for row in rows[:top]
    ]
    return {"found": len(rows), "looked_at": looked, "strongest": strongest, "from": "pathways"}


def _replay(rows: Gathered, feature: Feature, top: int) -> dict[str, Any]:
    found, through = rows.replay.get(feature, []), rows.through_tokens.get(feature, [])
    told = [
        [
            {"feature": name_of((row["target_layer"], row["target_feature"]))} | _picked(row, _REPLAY)
            for row in by_feature.ordered(part, "delta")[:top]
        ]
        for part in (found, through)
    ]
    pairs = {(row["target_layer"], row["target_feature"]) for row in found}
    return {
        "found": len(found), "pairs": len(pairs), "looked_at": rows.replay_looked.get(feature, 0),
        "replicated": sum(bool(row["replicated"]) for row in found),
        "confirmed": sum(bool(row["is_pathway"]) for row in found), "strongest": told[0],
        "through_tokens": {"found": len(through), "strongest": told[1]}, "from": "replay",
    }  # fmt: skip


def _texts(rows: Gathered, feature: Feature) -> dict[str, Any]:
    """Tokens, words and groups of words, added and removed."""
    found = rows.texts.get(feature, [])
    told: dict[str, Any] = {"found": rows.texts_found.get(feature, 0), "looked_at": rows.texts_looked.get(feature, 0)}
    for unit in UNITS:
        told[f"{unit}s"] = {
            direction: [
                _picked(row, _TEXT) for row in found if (row["unit"], row["direction"]) == (unit, direction)
            ] for direction in DIRECTIONS
        }  # fmt: skip
    return told | {"from": "associations"}


def _picked(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Columns that the table has."""
    return {name: row[name] for name in names if name in row}


def _below(q: float | None, alpha: float) -> bool:
    return q is not None and q < alpha
