"""In what two plans differ: field by field, and in words for the person who brought the second one."""

import dataclasses
import itertools
import json
import operator
from collections.abc import Mapping, Sequence
from typing import Any

# What the digests of a plan are of; a digest itself says nothing to anyone.
PARTS = {
    "weights": "the model's weights", "dictionaries": "the dictionaries", "tokenizer": "the tokenizer",
    "prompts": "the prompts", "features": "the features", "graphs": "the graphs",
    "rows": "the version of the rows' meaning",
}  # fmt: skip
# These follow from other fields, which say more.
_DERIVED = {"units": "the units of rows", "layout": "the columns or arrays"}
_PLACES = ("in the workdir", "now")
_SHOWN_DIFFERENCES = 12
_SHOWN_CHARACTERS = 60


class _Absent:
    def __repr__(self):
        return "absent"


_ABSENT = _Absent()


@dataclasses.dataclass(frozen=True)
class Difference:
    """A field in which plans differ: its dotted name, its value before and now, in few characters."""

    field: str
    before: str
    now: str

    def __str__(self) -> str:
        return self.told(*_PLACES)

    def told(self, before: str, now: str) -> str:
        """In words, with where either value was found."""
        return f"{self.field}: {self.before} {before}, {self.now} {now}"


def differing_fields(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """The fields in which two described plans differ.

    Fields that are recorded but not part of the plan (present in `stored` alone at the top) do not count.
    """
    differences: list[Difference] = []
    for field in now:
        _compare(field, stored.get(field, _ABSENT), now[field], differences)
    return differences


def in_words(differences: Sequence[Difference], before: str = _PLACES[0], now: str = _PLACES[1]) -> str:
    """What differs: "the prompts and the dictionaries differ; seed: 0 in the workdir, 3 now".

    Args:
        before: where the values of the first plan were found, in words. now: those of the second.
    """
    top = [(difference.field.split(".")[0].split("[")[0], difference) for difference in differences]
    parts = [difference.field.removeprefix("parts.") for name, difference in top if name == "parts"]
    found = [_joined([PARTS.get(name, name) for name in parts])] if parts else []
    named = [difference for name, difference in top if name not in ("parts", *_DERIVED)]
    found += [dataclasses.replace(d, field=_plain(d.field)).told(before, now) for d in named[:_SHOWN_DIFFERENCES]]
    if len(named) > _SHOWN_DIFFERENCES:
        found.append(f"and {len(named) - _SHOWN_DIFFERENCES} more")
    return "; ".join(found or [_joined([_DERIVED[name] for name in dict.fromkeys(name for name, _ in top)])])


def _joined(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last} differ" if first else f"{last} differ{'s' * (not last.endswith('s'))}"


def _plain(field: str) -> str:
    """Names of a configuration as a person knows them."""
    return field.removeprefix("config.").removeprefix("settings.")


def _compare(where: str, stored: Any, now: Any, differences: list[Difference]) -> None:
    """Appends the differing leaves of two JSON values; lists of unequal length are leaves."""
    if isinstance(stored, dict) and isinstance(now, dict):
        for key in sorted(stored.keys() | now.keys()):
            _compare(f"{where}.{key}", stored.get(key, _ABSENT), now.get(key, _ABSENT), differences)
    elif isinstance(stored, list) and isinstance(now, list) and len(stored) == len(now):
        for index, pair in enumerate(zip(stored, now, strict=True)):
            _compare(f"{where}[{index}]", *pair, differences)
    elif stored != now or type(stored) is not type(now):
        differences.append(Difference(where, _shown(stored, now), _shown(now, stored)))


def _shown(value: Any, other: Any) -> str:
    """A value in few characters, starting near where it differs from the other one."""
    text, other_text = (repr(v) if isinstance(v, _Absent) else json.dumps(v) for v in (value, other))
    common = sum(1 for _ in itertools.takewhile(bool, map(operator.eq, text, other_text)))
    if max(len(text), len(other_text)) > _SHOWN_CHARACTERS and common > _SHOWN_CHARACTERS // 3:
        text = "..." + text[common - _SHOWN_CHARACTERS // 3 :]
    short = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
    return f"{len(value)} entries {short}" if isinstance(value, list) else short
