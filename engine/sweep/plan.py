"""The plan of a sweep: what will be computed, fixed before the first number and never changed after.

A plan is a name, a resolved configuration, named digests of everything else that decides the numbers (weights,
dictionaries, tokenizer, inputs, numerics, version of the code's row format), the rows of every unit and the layout of
the data. Its fingerprint is the sha256 of all of these. The first run writes `plan.json` into the workdir, sealed
(`checksums`); every later run must bring the same plan or is refused, with what differs in words, and field by field in
the error's notes. What says where things lay (`about`: the model's path), versions, host, device and state of the code
are recorded beside it but do not enter the fingerprint: content decides, so a moved model goes on where it was.

Units: unit u holds unit_rows[u] rows, at most U = rows_per_unit. Where they sit depends on the plan alone (row i of
unit u is array row u*U + i), never on devices, order or interruption.
"""

import dataclasses
import functools
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine.sweep.checksums import SEAL, DamagedDocument, read_sealed, write_sealed
from causeway.engine.sweep.differences import differing_fields, in_words
from causeway.engine.sweep.environment import bits_may_differ, environment
from causeway.engine.sweep.fingerprint import canonical, config_sha256
from causeway.engine.sweep.layout import ArraySpec, Layout

# Of workdirs: 2 seals plans and manifests. Those of another format are refused, not read half checked.
FORMAT = 2
PLAN_FILE = "plan.json"


@dataclasses.dataclass(frozen=True)
class Plan:
    """An immutable plan.

    Attributes:
        name: of the sweep, for messages (`patch_sweep`).
        config: resolved configuration, JSON-able. Leave out what cannot change a number (workdir, logging, guards).
        parts: digests by name, e.g. {"weights": sha256, "tokenizer": ..., "rows": "3"}.
        unit_rows: rows of every unit, each at least 1.
        layout: the table and the arrays.
        about: JSON-able facts for people that decide nothing, as where the model was loaded from.
        versions: what this plan goes on from, as (units, fingerprint): the units before that number are those of the
            plan of that fingerprint, and keep it in their manifests. They follow from the configuration.
    """

    name: str
    config: Mapping[str, Any]
    parts: Mapping[str, str]
    unit_rows: tuple[int, ...]
    layout: Layout
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    versions: tuple[tuple[int, str], ...] = ()

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
        """Length of the row axis of the dense arrays; units shorter than U leave zeros after them."""
        return (self.units - 1) * self.rows_per_unit + self.unit_rows[-1]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hex sha256 of everything that decides the data."""
        return config_sha256(self.describe())

    @property
    def first_fingerprint(self) -> str:
        """The fingerprint of the first version."""
        return self.versions[0][1] if self.versions else self.fingerprint

    def fingerprint_of(self, unit: int) -> str:
        """The fingerprint in a unit's manifest: that of the first version whose unit it is."""
        return next((fingerprint for units, fingerprint in self.versions if unit < units), self.fingerprint)

    def continues(self, workdir: Path) -> bool:
        """Whether a workdir is of an earlier version of this plan.

        Raises:
            ValueError: its plan is damaged, or of another format.
        """
        earlier = {fingerprint for _, fingerprint in self.versions}
        return bool(earlier) and (workdir / PLAN_FILE).exists() and read_plan(workdir)["fingerprint"] in earlier

    def describe(self) -> dict[str, Any]:
        """What enters the fingerprint, as JSON values; `units` is run-length coded as [count, rows]."""
        runs = [[len(list(group)), rows] for rows, group in itertools.groupby(self.unit_rows)]
        described = {"format": FORMAT, "name": self.name, "config": self.config, "parts": self.parts, "units": runs}
        return canonical({**described, "layout": self.layout.describe()}, "plan")

    def bind(self, workdir: Path) -> str:
        """Writes `plan.json` into a new workdir, or checks that the one there is of this plan.

        A workdir of an earlier version is this plan's from then on.

        Returns:
            A warning where versions or device changed since the first run in a way that may change bits, else "".

        Raises:
            ValueError: the workdir belongs to another plan, its plan is damaged, or it holds units without a plan.
        """
        path = workdir / PLAN_FILE
        if not path.exists():
            if any(workdir.glob("units/*.json")):
                raise ValueError(
                    f"{path}: missing, though there are finished units; rerun with --repair to write it again, or use "
                    "another --workdir"
                )
            self.write(workdir)
            return ""
        stored = read_plan(workdir)
        if self.continues(workdir):
            self.write(workdir)
            return bits_may_differ(stored["recorded"], environment())
        differences = differing_fields(stored, self.describe())
        if differences:
            error = ValueError(f"workdir {workdir} is of another plan: {in_words(differences)}; use another --workdir")
            error.add_note("field by field: " + "; ".join(map(str, differences)))
            raise error
        return bits_may_differ(stored["recorded"], environment())

    def write(self, workdir: Path) -> None:
        """Writes `plan.json`, replacing a damaged one."""
        document = {"fingerprint": self.fingerprint, **self.describe(), "about": dict(self.about)}
        if self.versions:
            document["versions"] = [list(version) for version in self.versions]
        write_sealed(workdir / PLAN_FILE, {**document, "recorded": environment()})


def read_plan(workdir: Path) -> dict[str, Any]:
    """The plan of a workdir as it was written: `fingerprint`, what `describe` gives, `about`, `recorded`, `versions`
    where it has any.

    Raises:
        FileNotFoundError: there is none. DamagedDocument: it is damaged. ValueError: it is of another format.
    """
    path = workdir / PLAN_FILE
    try:
        return _of_this_format(path, read_sealed(path))
    except DamagedDocument as error:
        _refuse_unsealed(path)
        raise DamagedDocument(
            f"{error}; rerun the command that made it with --repair to write it again, restore a copy, or use another "
            "--workdir"
        ) from None


def plan_of(stored: Mapping[str, Any], schema: pa.Schema) -> Plan:
    """The plan that was stored, for whoever reads a run's data without the run.

    Args:
        stored: as `read_plan` gives it. schema: of the run's table.

    Raises:
        ValueError: its fingerprint is not that of what it says.
    """
    layout = stored["layout"]
    arrays = {
        name: ArraySpec(tuple(spec["row_shape"]), spec["dtype"], tuple(spec["axes"]), spec["attributes"])
        for name, spec in layout["arrays"].items()
    }
    rows = tuple(rows for count, rows in stored["units"] for _ in range(count))
    own = Layout(_as_written(schema), layout["table"], arrays, layout["group"])
    versions = tuple((units, fingerprint) for units, fingerprint in stored.get("versions", ()))
    plan = Plan(stored["name"], stored["config"], stored["parts"], rows, own, stored["about"], versions)
    if plan.fingerprint != stored["fingerprint"]:
        raise ValueError(f"plan of {stored['name']}: its table is not the one it says; use another --workdir")
    return plan


def _as_written(schema: pa.Schema) -> pa.Schema:
    """Columns as they were before a file, which gives the entries of lists another name."""
    for place, field in enumerate(schema):
        if pa.types.is_list(field.type):
            schema = schema.set(place, field.with_type(pa.list_(field.type.value_type)))
    return schema


def _of_this_format(path: Path, stored: dict[str, Any]) -> dict[str, Any]:
    if stored["format"] != FORMAT:
        raise ValueError(
            f"{path}: of format {stored['format']}, made by another version; this one goes on with format {FORMAT} "
            "alone; use another --workdir"
        )
    return stored


def _refuse_unsealed(path: Path) -> None:
    """Format 1 had no checksums: such a plan is old, not damaged."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return
    if isinstance(document, dict) and SEAL not in document and document.get("format") == 1:
        _of_this_format(path, document)
