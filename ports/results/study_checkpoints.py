"""`checkpoint_*.json` and `reparsed_*_features_*.json` of the published study: what its rule decided of each feature.

    {timestamp, gpu_id, process_id, layer_range, features_tested, n_trials_per_condition, results: [
       {feature: "L29-2374", layer, feature_id, cohen_d, causality: {is_causal_safe, is_causal_risky,
        safe_effect_size, risky_effect_size, safe_p_value, risky_p_value, interpretation}}]}

Causality comes in two layouts, and a file may have both: nested as above, or a field `is_causal` of each result, as the
plan of the token study took for granted. Nested, a feature is causal when it is so in either context, or, where the
contexts are not told, when the interpretation is not `no_causal_effect` (or `no_effect`). Answers parsed again were
decided again, by the second version of the study's rule (`RULES`): their files have no cohen_d, and the one of causal
features alone lists them under `causal_features`.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from causeway.engine import scalars
from causeway.engine.earlier_results import CONTEXTS, parse_feature_name
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.text_files import read_text

PATTERNS = ("checkpoint_*.json", "reparsed_all_features_*.json", "reparsed_causal_features_*.json")
_AGAIN = "reparsed_"
NOT_CAUSAL = ("no_causal_effect", "no_effect")
_NUMBERS = {"effect_size": "effect", "p_value": "p"}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One file.

    Attributes:
        rows: of `earlier_features.of_decisions`. about: what all files of one study say alike.
        tested: features it says were tested, of which it may report some alone. part: of the run, as it names it;
            later checkpoints of a part go on where earlier ones were.
        sweep: sha256 of the trials that a `patch_sweep` wrote it from; "" of others. rule: version that decided.
    """

    path: Path
    rows: list[dict[str, Any]]
    about: Mapping[str, Any]
    tested: int
    part: str
    sweep: str
    rule: str = "v1"


def read(path: Path) -> Checkpoint:
    """A checkpoint.

    Raises:
        ValueError: not JSON (with its line), or a result that is not as above (with its entry).
    """
    content = parse_json(read_text(path), str(path))
    named = content if isinstance(content, dict) else {}
    results = next((named[key] for key in ("results", "causal_features") if isinstance(named.get(key), list)), None)
    if results is None:
        raise ValueError(f"{path}: has no list `results`; needs a checkpoint of the study")
    rows: list[dict[str, Any]] = []
    layouts: dict[str, int] = {}
    for number, result in enumerate(results, start=1):
        try:
            row, layout = _decided(result)
        except ValueError as error:
            raise ValueError(f"{path} result {number}: {error}") from None
        rows.append({**row, "source": path.name})
        layouts.setdefault(layout, number)
    if len(layouts) > 1:
        first, second = list(layouts.items())[:2]
        raise ValueError(
            f"{path} result {second[1]}: has {second[0]}, where result {first[1]} has {first[0]}; results of more than "
            "one study are in this file"
        )
    about = {"layout": next(iter(layouts)), **_alike(content, path)} if layouts else _alike(content, path)
    tested = scalars.integer(content.get("features_tested") or 0, f"{path}: features_tested")
    part = f"{content.get('layer_range', path.name)} {content.get('process_id')}"
    rule = "v2" if path.name.startswith(_AGAIN) else "v1"
    return Checkpoint(path, rows, about, max(tested, len(rows)), part, str(content.get("sweep", "")), rule)


def _alike(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What is the same in all files of one study, as far as it is told."""
    told = {name: content[name] for name in ("model", "n_trials_per_condition") if content.get(name) is not None}
    if "n_trials_per_condition" in told:
        scalars.integer(told["n_trials_per_condition"], f"{path}: n_trials_per_condition")
    return told


def _decided(result: Any) -> tuple[dict[str, Any], str]:
    """What is decided of one feature, and in which layout."""
    if not isinstance(result, dict):
        raise ValueError(f"got {scalars.shown(result)}; needs an object with feature and causality or is_causal")
    layer, feature = parse_feature_name(result.get("feature"))
    for name, own in (("layer", layer), ("feature_id", feature)):
        if name in result and result[name] != own:
            raise ValueError(f"{name}: got {scalars.shown(result[name])}, but it is called {result['feature']}")
    nested, flat = result.get("causality"), result.get("is_causal")
    if nested is None and flat is None:
        raise ValueError(f"{result['feature']} has neither causality nor is_causal; needs one of them")
    row = {"layer": layer, "feature": feature, "cohen_d": number(result.get("cohen_d"), "cohen_d")}
    if nested is not None:
        row |= _nested(nested)
    if flat is not None:
        flat = scalars.truth(flat, "is_causal")
        if row.setdefault("is_causal", flat) != flat:
            raise ValueError(f"{result['feature']}: is_causal is {flat}, but its causality says {row['is_causal']}")
    layouts = [name for name, value in (("causality", nested), ("is_causal", flat)) if value is not None]
    return row, " and ".join([*layouts, "cohen_d" if "cohen_d" in result else "no cohen_d"])


def _nested(causality: Any) -> dict[str, Any]:
    if not isinstance(causality, dict):
        raise ValueError(f"causality: got {scalars.shown(causality)}; needs an object")
    row: dict[str, Any] = {}
    for context in CONTEXTS:
        if (flag := causality.get(f"is_causal_{context}")) is not None:
            row[f"is_causal_{context}"] = scalars.truth(flag, f"causality.is_causal_{context}")
        for field, column in _NUMBERS.items():
            name = f"{context}_{field}"
            row[f"{column}_{context}"] = number(causality.get(name), f"causality.{name}")
    flags = [row[f"is_causal_{context}"] for context in CONTEXTS if f"is_causal_{context}" in row]
    if not flags and not isinstance(causality.get("interpretation"), str):
        raise ValueError("causality: has no is_causal_safe, is_causal_risky or interpretation; needs one of them")
    return row | {"is_causal": any(flags) if flags else causality["interpretation"] not in NOT_CAUSAL}


def number(value: Any, name: str) -> float | None:
    """A number as JSON of the study has it: null, or NaN as Python writes it, where there is none.

    Raises:
        ValueError: something else.
    """
    return None if value is None or value != value else scalars.real(value, name)
