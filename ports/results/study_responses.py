"""Response logs of the published study, in its two layouts.

    responses_*.json    a list of {feature, condition, trial, response, parsed: {action, bet, valid}}
    patching_*.jsonl    a line of {feature_name, layer, feature_id, patch_condition, patch_value, prompt_type, trial,
                        response, action, bet_amount, is_valid} each, conditions baseline, safe_patch, risky_patch

A condition is a context and an arm: safe_baseline, safe_with_risky_patch. The study had one prompt a context, which
goes by the context's name unless a field `prompt` names it. Each log is read whole, made Arrow columns, and let go of.

Cost: a file's text and its parsed values at a time, then about 0.5 kB a response of 100 tokens.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.arms import BASELINE, Arm
from causeway.engine.earlier_results import RESPONSES, VALUE, parse_feature_name
from causeway.ports.files.jsonl import read_lines
from causeway.ports.results.study_checkpoints import number

_CONDITION = re.compile(r"(\w+?)_(?:baseline|with_(\w+)_patch)")
_PATCH = re.compile(r"(\w+)_patch")


@dataclasses.dataclass(frozen=True)
class Log:
    """One file: `RESPONSES`, and what it says of each feature beside (its patch values)."""

    responses: pa.Table
    features: Mapping[tuple[int, int], dict[str, Any]]


def read(path: Path, folder: Path) -> Log:
    """A log, its layout told by its suffix.

    Raises:
        ValueError: a malformed entry, with its number (or line).
    """
    features: dict[tuple[int, int], dict[str, Any]] = {}
    parse = _entry if path.suffix == ".json" else functools.partial(_line, features)
    rows = read_lines(path, parse).items
    source = path.relative_to(folder).as_posix()
    for row in rows:
        features.setdefault(row[:2], {"layer": row[0], "feature": row[1], "source": source})
    columns = [*zip(*rows, strict=True), [source] * len(rows)]
    arrays = [_array(values, field) for values, field in zip(columns, RESPONSES, strict=True)]
    return Log(pa.Table.from_arrays(arrays, schema=RESPONSES), features)


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """All logs as one table."""
    return pa.concat_tables(tables) if tables else RESPONSES.empty_table()


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if pa.types.is_dictionary(field.type):
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, field.type)


def _entry(entry: Mapping[str, Any]) -> tuple:
    """A row of `RESPONSES` without its source."""
    layer, feature = _named(entry.get("feature"))
    context, arm = _condition(_text(entry, "condition"))
    parsed = entry.get("parsed") or {}
    if not isinstance(parsed, dict):
        raise ValueError(f"parsed: got {scalars.shown(parsed)}; needs an object")
    answer = _answer(parsed, "action", "bet", "valid")
    prompt = _text(entry, "prompt") if "prompt" in entry else context
    return layer, feature, context, arm, entry["condition"], prompt, _trial(entry), _text(entry, "response"), *answer


def _line(features: dict[tuple[int, int], dict[str, Any]], entry: Mapping[str, Any]) -> tuple:
    layer, feature = _named(entry.get("feature_name"))
    context, arm = _text(entry, "prompt_type"), _patched(_text(entry, "patch_condition"))
    told = features.setdefault((layer, feature), {"layer": layer, "feature": feature, "source": "response logs"})
    value, column = number(entry.get("patch_value"), "patch_value"), f"{VALUE}{arm.value}"
    if arm.value and value is not None and told.setdefault(column, value) != value:
        raise ValueError(f"patch_value: got {value:g}, where it was {told[column]:g} before")
    answer = _answer(entry, "action", "bet_amount", "is_valid")
    condition = arm.condition(context)
    return layer, feature, context, str(arm), condition, context, _trial(entry), _text(entry, "response"), *answer


# A log names few features and conditions, many times each.
_named: Callable[[Any], tuple[int, int]] = functools.lru_cache(1 << 15)(parse_feature_name)


@functools.lru_cache(1024)
def _condition(name: str) -> tuple[str, str]:
    match = _CONDITION.fullmatch(name)
    if not match:
        raise ValueError(f"condition: got {name!r}; needs a name such as safe_baseline or safe_with_risky_patch")
    return match[1], str(Arm("patch", match[2]) if match[2] else BASELINE)


@functools.lru_cache(1024)
def _patched(name: str) -> Arm:
    match = _PATCH.fullmatch(name)
    if not match and name != str(BASELINE):
        raise ValueError(f"patch_condition: got {name!r}; needs baseline, or a name such as safe_patch")
    return Arm("patch", match[1]) if match else BASELINE


def _text(entry: Mapping[str, Any], name: str) -> str:
    if not isinstance(value := entry.get(name), str):
        raise ValueError(f"{name}: got {scalars.shown(value)}; needs a text")
    return value


def _trial(entry: Mapping[str, Any]) -> int:
    value = entry.get("trial")
    return value if type(value) is int and 0 <= value <= scalars.INT32_MAX else scalars.integer(value, "trial")


def _answer(parsed: Mapping[str, Any], action: str, amount: str, valid: str) -> tuple:
    """Action, amount and whether it could be read; null where it is not told."""
    told, read = parsed.get(action), parsed.get(valid)
    if told is not None and not isinstance(told, str):
        raise ValueError(f"{action}: got {scalars.shown(told)}; needs a text")
    return told, number(parsed.get(amount), amount), None if read is None else scalars.truth(read, valid)
