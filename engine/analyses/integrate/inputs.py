"""What `integrate` brings together: tables of earlier analyses, each optional, known to be of one study.

    select        features chosen, with Cohen's d and effects
    effects       what setting a feature does to behaviour, one row a feature (`engine.earlier_results`)
    pathways      which feature drives which; a row a pair. chains: paths over several, by measured mediation
    replay        the same measured in rollouts
    associations  tokens and words that a feature adds or removes. outcomes: what it does to parsed answers

A stage is a command; its tables share its record of what it was made of (`Origin.identity`). Nothing is computed anew:
every q stands as its own analysis corrected it, over its own family, so that a feature that several analyses name was
not tested once more by being here.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine import scalars
from causeway.engine.earlier_results import feature_name

# By table: the stage that writes it, and the columns that are read and must be there.
STAGES: Mapping[str, str] = MappingProxyType({
    "select": "select", "effects": "effects", "pathways": "pathways", "chains": "pathways", "replay": "replay",
    "associations": "tokens", "outcomes": "tokens",
})  # fmt: skip
_PAIR = ("source_layer", "source_feature", "target_layer", "target_feature")
COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "select": ("layer", "feature"),
    "effects": ("layer", "feature", "effect", "low", "high", "p", "q"),
    "pathways": (*_PAIR, "effect", "low", "high", "p", "q", "validated", "source_change"),
    "chains": ("path", "length", "total", "mediated", "low", "high", "q", "confirmed"),
    "replay": (*_PAIR, "route", "measure", "step", "delta", "low", "high", "q", "replicated",
               "is_pathway"),
    "associations": ("layer", "feature", "context", "contrast", "unit", "text", "direction", "log_odds", "z", "p", "q"),
    "outcomes": ("layer", "feature", "context", "contrast", "parser", "outcome", "effect", "low", "high", "p", "q"),
})  # fmt: skip
# The order in which stages are told.
ORDER = ("select", "effects", "pathways", "replay", "tokens")
DOWNSTREAM = "downstream"


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a table came from.

    Attributes:
        folder: as it was given. files: sha256 of each by name.
        identity: what its stage recorded of what it was made of, by field (model, dictionaries), as fingerprints; a
            field that two stages have must be the same. Features and prompts may well be some of another stage's.
        read: folders that its stage read, each with the sha256 of its files then; where a folder is another stage's, it
            must hold them still.
    """

    folder: str
    files: Mapping[str, str]
    identity: Mapping[str, str] = dataclasses.field(default_factory=dict)
    read: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Tables by name, and where those that are files came from.

    Raises:
        ValueError: fewer than two stages, a table that lacks columns, pathways that do not rise, stages made of
            different things, or one that read what another was before it was run again.
    """

    tables: Mapping[str, pa.Table]
    origins: Mapping[str, Origin] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name, table in self.tables.items():
            if not isinstance(table, pa.Table):
                raise ValueError(f"{name}: got {scalars.shown(table)}; needs a table (pyarrow.Table)")
            if missing := [column for column in COLUMNS[name] if column not in table.column_names]:
                raise ValueError(f"{name}: lacks the columns {', '.join(missing)}; needs {', '.join(COLUMNS[name])}")
        if len(self.stages) < 2:
            got = ", ".join(self.stages) or "nothing"
            raise ValueError(
                f"{', '.join(ORDER)}: got {got}; needs results of two of them or more, else there is nothing to bring "
                "together"
            )
        _check_rising("pathways", self.tables.get("pathways"))
        if (replay := self.tables.get("replay")) is not None:
            _check_rising("replay", replay.filter(pc.equal(replay["route"].cast(pa.string()), DOWNSTREAM)))
        _check_identities(self.origins)
        _check_read(self.origins)

    @property
    def stages(self) -> tuple[str, ...]:
        """Those given."""
        given = {STAGES[name] for name in self.tables}
        return tuple(stage for stage in ORDER if stage in given)

    @property
    def missing(self) -> tuple[str, ...]:
        """Those not given."""
        return tuple(stage for stage in ORDER if stage not in self.stages)

    def rows(self, name: str) -> pa.Table:
        """A table, or none of its rows where it was not given."""
        if (table := self.tables.get(name)) is not None:
            return table
        return pa.table({column: pa.nulls(0) for column in COLUMNS[name]})


def _check_rising(name: str, table: pa.Table | None) -> None:
    """Effects run upwards: where every edge rises no path can return, so a cycle is a damaged or foreign file."""
    if table is None or not table.num_rows:
        return
    wrong = pc.greater_equal(table["source_layer"], table["target_layer"])
    if pc.any(wrong).as_py():
        row = table.filter(wrong).slice(0, 1).to_pylist()[0]
        source, target = (feature_name(row[f"{end}_layer"], row[f"{end}_feature"]) for end in ("source", "target"))
        raise ValueError(
            f"{name}: {source} -> {target} does not rise to a later layer, as what drives a feature must; "
            f"{pc.sum(wrong).as_py()} such rows; make the file again"
        )


def _check_identities(origins: Mapping[str, Origin]) -> None:
    """Stages whose records of one field differ were not made of the same thing."""
    seen: dict[str, tuple[str, str]] = {}
    for name, origin in origins.items():
        stage = STAGES[name]
        for field, value in origin.identity.items():
            other, known = seen.setdefault(field, (stage, value))
            if known != value:
                raise ValueError(
                    f"{stage}: made of other {field} than {other} was ({value[:12]}, not {known[:12]}), by their "
                    "records; run the older of the two again, with the same --layers of dictionaries"
                )


def _check_read(origins: Mapping[str, Origin]) -> None:
    """A stage that read another's files read them as they are now."""
    for (name, origin), (other, source) in itertools.product(origins.items(), repeat=2):
        for file, then in origin.read.get(source.folder, {}).items():
            now = source.files.get(file, then)
            if now != then:
                raise ValueError(
                    f"{STAGES[name]}: read another {file} of {STAGES[other]} than {source.folder} holds now "
                    f"({then[:12]}, not {now[:12]}): {STAGES[other]} was run again; run {STAGES[name]} again too"
                )
