"""`features.parquet`: a row a feature, the numbers of its story side by side, the strongest of each part for it all."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from causeway.engine.analyses.integrate.by_feature import DIRECTIONS
from causeway.engine.analyses.integrate.inputs import ORDER

Story = Mapping[str, Any]
_I32, _F64, _TEXT, _TRUE = pa.int32(), pa.float64(), pa.string(), pa.bool_()
SCHEMA = pa.schema({
    "layer": _I32, "feature": _I32, "name": _TEXT, "evidence": _I32,
    **{f"in_{stage}": _TRUE for stage in ORDER},
    "cohen_d": _F64, **dict.fromkeys(("effect", "effect_low", "effect_high", "effect_p", "effect_q"), _F64),
    "effect_outcome": _TEXT, "effect_contrast": _TEXT, "is_causal": _TRUE, "effect_source": _TEXT,
    **{f"{side}{suffix}": kind for side in ("upstream", "downstream") for suffix, kind in (
        ("", _I32), ("_looked_at", _I32), ("_strongest", _TEXT), ("_drive", _F64), ("_effect", _F64), ("_q", _F64))},
    "chains": _I32, "replayed": _I32, "replayed_looked_at": _I32, "replicated": _I32, "through_tokens": _I32,
    "texts": _I32, "texts_looked_at": _I32, "texts_q": _F64, "adds": _TEXT, "removes": _TEXT,
    "behaviour": _TEXT, "behaviour_context": _TEXT, "behaviour_contrast": _TEXT, "behaviour_parser": _TEXT,
    **{f"behaviour_{name}": _F64 for name in ("effect", "low", "high", "q")},
    "cluster": _TEXT, "cluster_label": _TEXT,
})  # fmt: skip


_BEHAVIOUR = ("context", "contrast", "parser", "effect", "low", "high", "q")


def feature_table(stories: Sequence[Story]) -> pa.Table:
    """Stories as rows; what a stage did not look at is null, what it looked at and did not find is 0."""
    return pa.Table.from_pylist([_row(story) for story in stories], schema=SCHEMA)


def words_of(story: Story, direction: str) -> list[str]:
    """Texts added or removed: words, or tokens where there are none; each in the form that can be read."""
    texts = story["texts"]
    if not texts:
        return []
    return [row["text"] for row in texts["words"][direction] or texts["tokens"][direction]]


def _row(story: Story) -> dict[str, Any]:
    row: dict[str, Any] = {
        "layer": story["layer"], "feature": story["feature_id"], "name": story["feature"],
        "evidence": len(story["evidence"]), "cohen_d": story["cohen_d"], "cluster": story["cluster"],
        "cluster_label": story["cluster_label"],
    }  # fmt: skip
    row |= {f"in_{stage}": stage in story["stages"] for stage in ORDER}
    if effect := story["effect"]:
        row |= {"effect": effect["effect"], "is_causal": effect.get("is_causal"), "effect_source": effect.get("source")}
        row |= {f"effect_{name}": effect.get(name) for name in ("low", "high", "p", "q", "outcome", "contrast")}
    for side in ("upstream", "downstream"):
        if paths := story[side]:
            row |= {side: paths["found"], f"{side}_looked_at": paths["looked_at"], "chains": len(story["chains"])}
            for first in paths["strongest"][:1]:
                row |= {
                    f"{side}_strongest": first["feature"],
                    f"{side}_effect": first["effect"],
                    f"{side}_drive": first["drive"],
                }
                row[f"{side}_q"] = first["q"]
    if replay := story["replay"]:
        row |= {"replayed": replay["found"], "replayed_looked_at": replay["looked_at"]}
        row |= {"replicated": replay["replicated"], "through_tokens": replay["through_tokens"]["found"]}
    return row | _language(story)


def _language(story: Story) -> dict[str, Any]:
    """Columns of texts and behaviours."""
    row: dict[str, Any] = {}
    if texts := story["texts"]:
        shown = [one for unit in ("tokens", "words", "word_groups") for side in texts[unit].values() for one in side]
        row |= {"texts": texts["found"], "texts_looked_at": texts["looked_at"]}
        row |= {"texts_q": min((one["q"] for one in shown), default=None)}
        row |= {direction: " | ".join(words_of(story, direction)) or None for direction in DIRECTIONS}
    for first in (story["behaviours"] or {"strongest": []})["strongest"][:1]:
        row |= {"behaviour": first["outcome"]}
        row |= {f"behaviour_{name}": first[name] for name in _BEHAVIOUR}
    return row
