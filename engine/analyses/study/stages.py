"""Stages as data: which driver each runs, with what values, and which earlier outputs it takes.

    {"name": "circuits",
     "shared": {"model": "bundled:tiny", "seed": 3},
     "stages": ({"name": "prompts", "driver": "prompts", "flags": {"train": 12}},
                {"name": "baseline", "driver": "evaluate", "takes": {"prompts": "prompts"}})}

`shared` are values of flags for every stage whose driver has such a flag, `flags` those of one stage, which go before;
None leaves a flag at the driver's own default. `takes` gives a flag the folder of an earlier stage, or a place in it
(`prompts/addition_train.jsonl`), or several of these. A stage takes from those before it alone, so the order of the
configuration is the order of the run and no graph has to be searched for one.

What a driver's flags are is not known here: `stage_flags` of the drivers' floor parses values with the drivers' own
flags. Cost: none.
"""

import dataclasses
import difflib
import graphlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from causeway.engine.scalars import shown

# The folder of records and logs in a study's workdir, and the page that says what was run.
RECORDS, PAGE = "stages", "study.json"
# Flags that a study gives its stages by itself.
OWN_FLAGS = ("out", "workdir", "overwrite", "repair", "shared", "plan", "only", "from")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_KEYS, _STAGE_KEYS = ("name", "shared", "stages"), ("name", "driver", "flags", "takes")


@dataclasses.dataclass(frozen=True)
class Take:
    """An earlier output: the stage that wrote it, and the place in its folder ("" for all of it)."""

    stage: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.stage}/{self.place}" if self.place else self.stage


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: of the stage and of its folder. driver: the command that it is. flags: values by flag, shared ones among
            them whether or not the driver has them. takes: flags that are given earlier outputs. own: those of `flags`
            that the stage itself names.
    """

    name: str
    driver: str
    flags: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    takes: Mapping[str, tuple[Take, ...]] = dataclasses.field(default_factory=dict)
    own: frozenset[str] = frozenset()

    @property
    def taken(self) -> tuple[str, ...]:
        """Names of the stages that it takes, each once."""
        return tuple(dict.fromkeys(take.stage for takes in self.takes.values() for take in takes))


@dataclasses.dataclass(frozen=True)
class Study:
    """A pipeline.

    Attributes:
        name: of the study; a workdir belongs to one. shared: see above. stages: in the order in which they run.
    """

    name: str
    shared: Mapping[str, Any]
    stages: tuple[Stage, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stages."""
        return tuple(stage.name for stage in self.stages)

    def chosen(self, only: Sequence[str] = (), start: str | None = None) -> tuple[str, ...]:
        """The stages that a run is limited to, in their order.

        Args:
            only: these alone; all where empty. start: this one and those after it.

        Raises:
            ValueError: a name that no stage has, or both arguments.
        """
        if only and start is not None:
            raise ValueError("only, start: got both; needs one of them, or neither for all stages")
        for argument, name in [("only", name) for name in only] + [("start", start)] * (start is not None):
            if name not in self.names:
                raise ValueError(f"{argument}: got {shown(name)}; {_instead(name, self.names, 'no stage')}")
        if start is not None:
            return self.names[self.names.index(start) :]
        return tuple(name for name in self.names if not only or name in only)


def read_study(config: Any, drivers: Collection[str]) -> Study:
    """The study of a configuration, known to hold together.

    Args:
        config: dicts, sequences, texts and numbers, as above. drivers: names of those there are.

    Raises:
        ValueError: naming the part: one that is missing, unknown or of another kind, two stages of one name, an unknown
            driver, a stage that takes an unknown one, a later one or itself.
    """
    _check_keys(config, "config", _KEYS, ("name", "stages"))
    if not isinstance(config["name"], str) or not config["name"].strip():
        raise ValueError(f"config.name: got {shown(config['name'])}; needs a text, the study's name")
    shared = _values(config.get("shared"), "config.shared")
    given = config["stages"]
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"config.stages: got {shown(given)}; needs a list of one stage or more")
    stages = tuple(_stage(entry, number, shared, drivers) for number, entry in enumerate(given))
    _check_names(stages)
    _check_takes(stages)
    return Study(config["name"], shared, stages)


def _stage(entry: Any, number: int, shared: Mapping[str, Any], drivers: Collection[str]) -> Stage:
    where = f"config.stages[{number}]"
    _check_keys(entry, where, _STAGE_KEYS, ("name", "driver"))
    name, driver = entry["name"], entry["driver"]
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == RECORDS:
        raise ValueError(
            f"{where}.name: got {shown(name)}; needs the name of a folder in letters, digits, _ and -, not {RECORDS}"
        )
    if not isinstance(driver, str) or driver not in drivers:
        raise ValueError(f"{where}.driver of {name}: got {shown(driver)}; {_instead(driver, drivers, 'no driver')}")
    values, takes = _values(entry.get("flags"), f"{where}.flags of {name}"), entry.get("takes") or {}
    if not isinstance(takes, Mapping):
        raise ValueError(f"{where}.takes of {name}: got {shown(takes)}; needs stages by flag")
    found = {flag: _takes(given, f"{where}.takes.{flag} of {name}") for flag, given in takes.items()}
    for flag in values.keys() & found.keys():
        raise ValueError(f"{where}.flags.{flag} of {name}: {flag} is among `takes` too; needs one of them")
    for flag in (*values, *found, *shared):
        if flag in OWN_FLAGS:
            raise ValueError(f"{where} of {name}: --{flag} is given by the study itself; leave it out")
    merged = {flag: value for flag, value in (dict(shared) | values).items() if flag not in found and value is not None}
    return Stage(name, driver, merged, found, frozenset(values.keys() & merged.keys()))


def _values(given: Any, where: str) -> dict[str, Any]:
    """Values of flags as they may come: texts, numbers, truth values, lists of them, or None."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(f"{where}: got {shown(given)}; needs values by flag")
    for flag, value in given.items():
        entries = value if isinstance(value, list | tuple) else [value]
        if not isinstance(flag, str) or not all(isinstance(one, str | int | float | None) for one in entries):
            raise ValueError(f"{where}: {flag} is {shown(value)}; needs texts, numbers, true, false, or lists of them")
    return dict(given)


def _takes(given: Any, where: str) -> tuple[Take, ...]:
    entries = list(given) if isinstance(given, list | tuple) else [given]
    found = []
    for entry in entries:
        stage, _, place = str(entry).partition("/")
        parts = place.split("/") if place else []
        if not isinstance(entry, str) or not stage or "" in parts or set(parts) & {".", ".."}:
            raise ValueError(f"{where}: got {shown(entry)}; needs STAGE or STAGE/PLACE in its folder")
        found.append(Take(stage, place))
    if not found:
        raise ValueError(f"{where}: got nothing; needs STAGE or STAGE/PLACE in its folder")
    return tuple(found)


def _check_names(stages: Sequence[Stage]) -> None:
    seen: dict[str, int] = {}
    for number, stage in enumerate(stages):
        # On some disks such folders are one.
        first = seen.setdefault(stage.name.lower(), number)
        if first != number:
            raise ValueError(
                f"config.stages[{number}].name: {stage.name} is stages[{first}] already; needs another name"
            )


def _check_takes(stages: Sequence[Stage]) -> None:
    """Every stage takes earlier ones alone; a cycle is told as one."""
    places = {stage.name: number for number, stage in enumerate(stages)}
    for stage in stages:
        for name in stage.taken:
            if name not in places:
                raise ValueError(f"config: {stage.name} takes {shown(name)}; {_instead(name, places, 'no stage')}")
    try:
        graphlib.TopologicalSorter({stage.name: stage.taken for stage in stages}).prepare()
    except graphlib.CycleError as error:
        cycle = " takes ".join(reversed(error.args[1]))
        raise ValueError(f"config: {cycle}, a circle; needs stages that take earlier ones alone") from None
    for number, stage in enumerate(stages):
        if later := [name for name in stage.taken if places[name] > number]:
            raise ValueError(f"config: {stage.name} takes {later[0]}, which comes later; put {later[0]} before it")


def _check_keys(given: Any, where: str, known: Sequence[str], needed: Sequence[str]) -> None:
    if not isinstance(given, Mapping):
        raise ValueError(f"{where}: got {shown(given)}; needs a ConfigDict of {', '.join(known)}")
    for key in given:
        if key not in known:
            raise ValueError(f"{where}: has a field {shown(key)}; {_instead(key, known, 'no such field')}")
    if missing := [key for key in needed if key not in given]:
        raise ValueError(f"{where}: has no field {missing[0]!r}; needs {', '.join(needed)}")


def _instead(name: Any, known: Collection[str], wrong: str) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"{wrong}; did you mean {near[0]}?" if near else f"{wrong}; needs one of {', '.join(known)}"
