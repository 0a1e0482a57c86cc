"""The plan of a sweep: what will be computed, fixed before the first number and never changed after.

A plan is a name, a resolved configuration, named digests of everything else that decides the numbers (weights,
dictionaries, tokenizer, inputs, numerics, version of the code's row format), the rows of every unit and the layout of
the data. Its fingerprint is the sha256 of all of these. The first run writes `plan.json` into the workdir; every later
run must bring the same plan or is refused with a field-by-field difference. Versions, host, device and state of the
code are recorded beside it but do not enter the fingerprint.

Units: unit u holds unit_rows[u] rows, at most U = rows_per_unit. Where they sit depends on the plan alone (row i of
unit u is array row u*U + i), never on devices, order or interruption.
"""

import dataclasses
import functools
import itertools
import json
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from causeway.engine.sweep import durable
from causeway.engine.sweep.environment import bits_may_differ, environment
from causeway.engine.sweep.fingerprint import canonical, config_sha256
from causeway.engine.sweep.layout import Layout

FORMAT = 1
PLAN_FILE = "plan.json"
_SHOWN_DIFFERENCES = 12
_SHOWN_CHARACTERS = 60


@dataclasses.dataclass(frozen=True)
class Plan:
    """An immutable plan.

    Attributes:
        name: of the sweep, for messages (`patch_sweep`).
        config: resolved configuration, JSON-able. Leave out what cannot change a number (workdir, logging, guards).
        parts: digests by name, e.g. {"weights": sha256, "tokenizer": ..., "rows": "3"}.
        unit_rows: rows of every unit, each at least 1.
        layout: the table and the arrays.
    """

    name: str
    config: Mapping[str, Any]
    parts: Mapping[str, str]
    unit_rows: tuple[int, ...]
    layout: Layout

    def __post_init__(self):
        if not self.unit_rows or min(self.unit_rows) < 1:
            raise ValueError(
                f"unit_rows: got {list(self.unit_rows)[:8]}; give at least one unit, each of 1 row or more"
            )
        canonical(self.config)

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.unit_rows)

    @property
    def rows(self) -> int:
        """Number of rows over all units."""
        return sum(self.unit_rows)

    @property
    def rows_per_unit(self) -> int:
        """U: the rows a unit may hold; array rows of unit u start at u*U."""
        return max(self.unit_rows)

    @property
    def array_rows(self) -> int:
        """Length of the row axis of the dense arrays; units shorter than U leave zeros behind them."""
        return (self.units - 1) * self.rows_per_unit + self.unit_rows[-1]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hex sha256 of everything that decides the data."""
        return config_sha256(self.describe())

    def describe(self) -> dict[str, Any]:
        """What enters the fingerprint, as JSON values; `units` is run-length coded as [count, rows]."""
        runs = [[len(list(group)), rows] for rows, group in itertools.groupby(self.unit_rows)]
        described = {"format": FORMAT, "name": self.name, "config": self.config, "parts": self.parts, "units": runs}
        return canonical({**described, "layout": self.layout.describe()}, "plan")

    def bind(self, workdir: Path) -> str:
        """Writes `plan.json` into a new workdir, or checks that the one there is of this plan.

        Returns:
            A warning where versions or device changed since the first run in a way that may change bits, else "".

        Raises:
            ValueError: the workdir belongs to another plan, or holds units without a plan.
        """
        path = workdir / PLAN_FILE
        if not path.exists():
            return self._write(path)
        stored = _read(path)
        differences = differing_fields(stored, self.describe())
        if differences:
            raise ValueError(f"workdir {workdir} is of another plan: {_joined(differences)}; use another --workdir")
        return bits_may_differ(stored.get("recorded", {}), environment())

    def _write(self, path: Path) -> str:
        if any(path.parent.glob("units/*.json")):
            raise ValueError(f"workdir {path.parent}: holds finished units but no {PLAN_FILE}; use another --workdir")
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {"fingerprint": self.fingerprint, **self.describe(), "recorded": environment()}
        durable.write_bytes(path, (json.dumps(document, indent=1) + "\n").encode())
        return ""


def differing_fields(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One text per field in which two described plans differ: `config.temperature: 0.7 in the workdir, 0.8 now`.

    Fields that are recorded but not part of the plan (present in `stored` alone at the top) do not count.
    """
    differences: list[str] = []
    for field in now:
        _compare(field, stored.get(field, _ABSENT), now[field], differences)
    return differences


class _Absent:
    def __repr__(self):
        return "absent"


_ABSENT = _Absent()


def _compare(where: str, stored: Any, now: Any, differences: list[str]) -> None:
    """Appends the differing leaves of two JSON values; lists of unequal length are leaves."""
    if isinstance(stored, dict) and isinstance(now, dict):
        for key in sorted(stored.keys() | now.keys()):
            _compare(f"{where}.{key}", stored.get(key, _ABSENT), now.get(key, _ABSENT), differences)
    elif isinstance(stored, list) and isinstance(now, list) and len(stored) == len(now):
        for index, pair in enumerate(zip(stored, now, strict=True)):
            _compare(f"{where}[{index}]", *pair, differences)
    elif stored != now or type(stored) is not type(now):
        before, after = _shown(stored, now), _shown(now, stored)
        differences.append(f"{where}: {before} in the workdir, {after} now")


def _shown(value: Any, other: Any) -> str:
    """A value in few characters, starting near where it differs from the other one."""
    text, other_text = (repr(v) if isinstance(v, _Absent) else json.dumps(v) for v in (value, other))
    common = sum(1 for _ in itertools.takewhile(bool, map(operator.eq, text, other_text)))
    if max(len(text), len(other_text)) > _SHOWN_CHARACTERS and common > _SHOWN_CHARACTERS // 3:
        text = "..." + text[common - _SHOWN_CHARACTERS // 3 :]
    short = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
    return f"{len(value)} entries {short}" if isinstance(value, list) else short


def _joined(differences: list[str]) -> str:
    rest = len(differences) - _SHOWN_DIFFERENCES
    return "; ".join(differences[:_SHOWN_DIFFERENCES]) + (f"; and {rest} more" if rest > 0 else "")


def _read(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text())
    except ValueError:
        stored = None
    if not isinstance(stored, dict):
        raise ValueError(f"{path}: not a plan (damaged JSON); restore it from a copy or use another --workdir")
    return stored
