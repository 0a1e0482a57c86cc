"""All features x operations x prompts as one checkpointed, resumable run.

A unit is one prompt: its clean pass is run once, then every row of it in batches (`intervene.CleanRun`). A row of the
table is one set of features under one operation:

    baseline, intervened    logit[correct] - logit[incorrect] at the last token, without and with it
    clean                   of a patched row: the same difference on the partner, whose answers these then are
    predicted               what the prompt's graph says `intervened - baseline` will be (`predicted`)

`patch` sets features to the partner's values at aligned positions (`pairs`): the prompt is the corrupt run, its
partner the clean one, and recovery is (intervened - baseline) / (clean - baseline).

    workdir/plan.json, units/, interventions.parquet
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from causeway.engine.attribution.prompts import CircuitPrompt
from causeway.engine.circuits.intervene import CleanRun, check_transcoders
from causeway.engine.circuits.pairs import aligned, minimal_pairs
from causeway.engine.circuits.predicted import Predictor
from causeway.engine.circuits.propagate import MODES, Mode
from causeway.engine.circuits.rows import InterventionRows
from causeway.engine.circuits.sets import (
    KINDS,
    FeatureSet,
    Kind,
    Place,
    circuit_sets,
    layer_sets,
    single_sets,
    strongest_sets,
)
from causeway.engine.circuits.stored_graphs import StoredGraphs
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.frozen.graph import AttributionGraph
from causeway.engine.frozen.sources import Transcoders
from causeway.engine.intervention.requests import coefficients
from causeway.engine.model.handle import Model
from causeway.engine.patching.sweep import dictionary_digest
from causeway.engine.sweep import Layout, Plan, Store, SweepReport, UnitResult, run_sweep
from causeway.engine.sweep.fingerprint import config_sha256

# Version of what a row means; raise it when the same settings would give other numbers.
ROWS_VERSION = "1"
OPERATIONS = ("zero", "inhibit", "set", "scale", "patch")
SCHEMA = pa.schema([
    ("prompt", pa.int32()), ("id", pa.string()), ("behaviour", pa.string()), ("split", pa.string()),
    ("kind", pa.string()), ("operation", pa.string()), ("value", pa.float64()), ("layer", pa.int32()),
    ("position", pa.int32()), ("place", pa.string()), ("features", pa.list_(pa.int32())), ("slots", pa.int32()),
    ("activation", pa.float64()), ("correct", pa.int32()), ("incorrect", pa.int32()), ("baseline", pa.float64()),
    ("intervened", pa.float64()), ("clean", pa.float64()), ("predicted", pa.float64()),
])  # fmt: skip


@dataclasses.dataclass(frozen=True)
class InterventionSettings:
    """What is done to each prompt.

    Attributes:
        operations: names with their values: zero, inhibit (-value f), set, scale, patch. mode: see `propagate`.
        features: chosen ones; () takes the `max_features` strongest of each prompt's graph. kinds: see `sets`.
        node_threshold, edge_threshold: of the pruning that makes a circuit. rows: width of a batch, per device.

    Raises:
        ValueError: an unknown operation, mode or kind, or none.
    """

    operations: tuple[tuple[str, float], ...] = (("zero", 0.0),)
    mode: Mode = "open"
    features: tuple[Place, ...] = ()
    max_features: int = 200
    kinds: tuple[Kind, ...] = ("single",)
    node_threshold: float = 0.8
    edge_threshold: float = 0.98
    rows: int = 32

    def __post_init__(self):
        for name, given, known in (
            ("operation", [operation for operation, _ in self.operations], OPERATIONS),
            ("mode", [self.mode], MODES),
            ("kinds", self.kinds, KINDS),
        ):
            if not given or (unknown := [one for one in given if one not in known]):
                raise ValueError(f"{name}: got {unknown[0] if given else 'none'}; needs some of {', '.join(known)}")
        for name in ("max_features", "rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}; needs 1 or more")

    @property
    def needs_graphs(self) -> bool:
        """Whether anything is taken from graphs."""
        return not self.features or bool({"circuit", "complement"} & set(self.kinds))

    @property
    def patches(self) -> bool:
        """Whether prompts need partners."""
        return any(operation == "patch" for operation, _ in self.operations)


@dataclasses.dataclass(frozen=True)
class InterventionSweep:
    """Everything a unit needs.

    Attributes:
        model, transcoders: loaded. prompts: each with two answers. graphs: of the same prompts, or None.
        parallel: devices to spread rows over.

    Raises:
        ValueError: a prompt without answers or without a graph that is needed, no partner to patch from, or
            transcoders that do not fit the model.
    """

    model: Model
    transcoders: Transcoders
    prompts: tuple[CircuitPrompt, ...]
    settings: InterventionSettings
    parallel: RowParallel
    graphs: StoredGraphs | None = None
    partners: Mapping[int, int] = dataclasses.field(init=False)

    def __post_init__(self):
        check_transcoders(self.model, self.transcoders)
        if not self.prompts or any(prompt.answers is None for prompt in self.prompts):
            raise ValueError("prompts: each needs a correct and an incorrect answer, whose logits are compared")
        if self.settings.needs_graphs and self.graphs is None:
            raise ValueError("graphs: none; features are given by name, or taken from the graphs of an attribute run")
        for prompt in self.prompts if self.graphs is not None else ():
            if prompt.id not in self.graphs.places:
                raise ValueError(
                    f"{self.graphs.path}: no graph of prompt {prompt.id}; attribute the same prompts first"
                )
        for prompt in self.prompts:
            for one in single_sets(self.settings.features, len(prompt.tokens)):
                rows = InterventionRows.singles(one.places, 1.0, 0.0)
                rows.check(self.model, self.transcoders, len(prompt.tokens))
        object.__setattr__(self, "partners", minimal_pairs(self.prompts) if self.settings.patches else {})

    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        prompts = [[prompt.describe(), prompt.answers, dict(prompt.roles)] for prompt in self.prompts]
        parts = {
            "weights": self.model.fingerprint,
            "dictionaries": dictionary_digest(cast(Dictionary, self.transcoders)),
            "prompts": config_sha256(prompts),
            "graphs": "" if self.graphs is None else self.graphs.digest,
            "rows": ROWS_VERSION,
        }
        config = {
            "model": self.model.name,
            "numerics": dataclasses.asdict(self.model.numerics),
            "settings": dataclasses.asdict(self.settings),
            "prompts": len(self.prompts),
        }
        # How many rows a prompt has is known when its graph is read: a unit is one row of lists.
        lists = [(field.name, pa.list_(field.type)) for field in SCHEMA]
        return Plan(
            "intervene", config, parts, (1,) * len(self.prompts), Layout(pa.schema(lists), table="interventions")
        )

    def unit(self, index: int) -> UnitResult:
        """All rows of one prompt."""
        try:
            rows = _Prompt(self, index).rows()
        except ValueError as error:
            raise ValueError(f"{error} (prompt {self.prompts[index].id})") from None
        return UnitResult({name: [[row[name] for row in rows]] for name in SCHEMA.names})

    def run(self, workdir: Path, repair: bool = False) -> SweepReport:
        """Compute what is missing in a workdir; the same call resumes."""
        return run_sweep(Store(workdir, self.plan()), self.unit, repair=repair)

    def tables(self, workdir: Path) -> Iterator[pa.Table]:
        """Each finished prompt's rows, in order.

        Raises:
            DamagedStore: a file is not the one that was written.
        """
        for stored in Store(workdir, self.plan()).tables():
            yield pa.table([stored[name].combine_chunks().flatten() for name in SCHEMA.names], schema=SCHEMA)


class _Prompt:
    """One unit: a prompt, its graph and its partner."""

    def __init__(self, sweep: InterventionSweep, index: int):
        self.sweep, self.index, self.settings = sweep, index, sweep.settings
        self.prompt = sweep.prompts[index]
        self.run = self._clean(self.prompt)
        self.graph = None if sweep.graphs is None else sweep.graphs.read(self.prompt.id, self.prompt.tokens)
        self.partner = sweep.prompts[sweep.partners[index]] if index in sweep.partners else None
        self.other = None if self.partner is None else self._clean(self.partner)
        self.values: dict[tuple[bool, int], np.ndarray] = {}

    def _clean(self, prompt: CircuitPrompt) -> CleanRun:
        return CleanRun(self.sweep.model, self.sweep.transcoders, prompt.tokens, self.sweep.parallel)

    def sets(self) -> list[FeatureSet]:
        """What is changed together, in order."""
        kinds = self.settings.kinds
        singles = single_sets(self.settings.features, len(self.prompt.tokens)) or self._strongest(self.graph)
        sets = singles if "single" in kinds else []
        sets = sets + (layer_sets(singles) if "layer" in kinds else [])
        if self.graph is None:
            return sets
        thresholds = self.settings.node_threshold, self.settings.edge_threshold
        return sets + circuit_sets(self.graph, self.run, thresholds, kinds)

    def _strongest(self, graph: AttributionGraph | None) -> list[FeatureSet]:
        if graph is None:
            return []
        effects = Predictor(graph, self.prompt.answers or (0, 0), self.settings.mode).effects
        return strongest_sets(graph, np.nan_to_num(effects), self.settings.max_features)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table."""
        work = [(one, name, value) for one in self.sets() for name, value in self.settings.operations]
        work = [entry for entry in work if entry[1] != "patch" or self.partner is not None]
        if not work:
            return []
        made = [self._columns(number, *entry) for number, entry in enumerate(work)]
        rows = InterventionRows.from_columns(np.concatenate([columns for columns, *_ in made], axis=1), len(work))
        logits = self.run.last_logits(rows, self.settings.mode, width=self.settings.rows)
        return [
            self._row(*entry, before, after, found)
            for entry, (_, before, after), found in zip(work, made, logits, strict=True)
        ]

    def _columns(self, number: int, one: FeatureSet, operation: str, value: float) -> tuple[np.ndarray, ...]:
        """A row's slots, and its features' values before and after."""
        before = self._read(one.places, False)
        if operation == "patch":
            scale, shift = np.zeros(len(before)), self._read(one.places, True)
        else:
            given = value if one.value is None or operation != "set" else one.value
            factors = coefficients(operation, given)  # type: ignore[arg-type]
            scale, shift = (np.full(len(before), factor) for factor in factors)
        ids = np.concatenate([np.full((len(before), 1), number), one.places], axis=1).T
        return np.concatenate([ids, scale[None], shift[None]]), before, scale * before + shift

    def _read(self, places: np.ndarray, partner: bool) -> np.ndarray:
        """Clean activations at places, of the prompt or at the aligned ones of its partner."""
        out = np.zeros(len(places))
        at = aligned(self.prompt, self.partner)[places[:, 1]] if partner and self.partner else places[:, 1]
        run = self.other if partner and self.other is not None else self.run
        for layer in np.unique(places[:, 0]):
            if (partner, int(layer)) not in self.values:
                self.values[partner, int(layer)] = run.activations(int(layer))
            mine = places[:, 0] == layer
            out[mine] = self.values[partner, int(layer)][at[mine], places[mine, 2]]
        return out

    def _row(
        self, one: FeatureSet, operation: str, value: float, before: np.ndarray, after: np.ndarray, logits: np.ndarray
    ) -> dict[str, Any]:
        patched = operation == "patch" and self.partner is not None and self.other is not None
        answers = (self.partner if patched and self.partner else self.prompt).answers or (0, 0)
        clean = _difference(self.other.logits[-1], answers) if patched and self.other else None
        given = one.value if operation == "set" and one.value is not None else value
        return {
            "prompt": self.index, "id": self.prompt.id, "behaviour": self.prompt.behaviour, "split": self.prompt.split,
            "kind": one.kind, "operation": operation, "value": None if operation in ("zero", "patch") else given,
            "layer": one.layer, "position": one.position, "place": self._place(one), "features": one.features,
            "slots": len(one.places), "activation": float(before.max()) if one.kind == "single" else None,
            "correct": answers[0], "incorrect": answers[1],
            "baseline": _difference(self.run.logits[-1], answers), "intervened": _difference(logits, answers),
            "clean": clean, "predicted": self._predicted(one, answers, before, after),
        }  # fmt: skip

    def _place(self, one: FeatureSet) -> str:
        """What prompts of a behaviour have in common: a role, or the distance from the end."""
        if one.position < 0:
            return "all" if one.kind == "single" else ""
        roles = [role for role, position in sorted(self.prompt.roles.items()) if position == one.position]
        return roles[0] if roles else f"end-{len(self.prompt.tokens) - 1 - one.position}"

    def _predicted(
        self, one: FeatureSet, answers: tuple[int, int], before: np.ndarray, after: np.ndarray
    ) -> float | None:
        """Of the difference of these answers; the graph's own may be the same two swapped."""
        own = self.prompt.answers or (0, 0)
        if self.graph is None or set(own) != set(answers):
            return None
        if not hasattr(self, "predictor"):
            self.predictor = Predictor(self.graph, own, self.settings.mode)
        change = self.predictor.change(one.places, before, after) * (1 if own == answers else -1)
        return change if np.isfinite(change) else None


def _difference(logits: np.ndarray, answers: tuple[int, int]) -> float:
    return float(logits[answers[0]]) - float(logits[answers[1]])
