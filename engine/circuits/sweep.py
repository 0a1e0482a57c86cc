"""All features x operations x prompts as one checkpointed, resumable run.

A unit is one prompt: its clean pass is run once, then every row of it in batches (`intervene.CleanRun`). What a row
holds is in `prompt_rows`; the table has one row of lists a prompt, which `InterventionSweep.tables` lays out.

    workdir/plan.json, units/, interventions.parquet
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine.attribution.prompts import CircuitPrompt
from causeway.engine.circuits.importance import Importance, Reading
from causeway.engine.circuits.intervene import CleanRun, check_transcoders
from causeway.engine.circuits.pairs import minimal_pairs
from causeway.engine.circuits.prompt_rows import SCHEMA, PromptRows, difference
from causeway.engine.circuits.rows import InterventionRows
from causeway.engine.circuits.sets import single_sets
from causeway.engine.circuits.settings import InterventionSettings
from causeway.engine.circuits.stored_graphs import StoredGraphs
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.frozen.sources import Transcoders
from causeway.engine.model.handle import Model
from causeway.engine.patching.sweep import dictionary_digest
from causeway.engine.sweep import Layout, Plan, Store, SweepReport, UnitResult, run_sweep
from causeway.engine.sweep.fingerprint import config_sha256

# Version of what a row means; raise it when the same settings would give other numbers.
ROWS_VERSION = "1"


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
            rows = self._prompt_rows(index).rows()
        except ValueError as error:
            raise ValueError(f"{error} (prompt {self.prompts[index].id})") from None
        return UnitResult({name: [[row[name] for row in rows]] for name in SCHEMA.names})

    def _prompt_rows(self, index: int) -> PromptRows:
        prompt = self.prompts[index]
        graph = None if self.graphs is None else self.graphs.read(prompt.id, prompt.tokens)
        partner = self.prompts[self.partners[index]] if index in self.partners else None
        return PromptRows(self._clean, prompt, index, self.settings, graph, partner)

    def _clean(self, prompt: CircuitPrompt) -> CleanRun:
        return CleanRun(self.model, self.transcoders, prompt.tokens, self.parallel)

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

    def rows_of(self, workdir: Path, behaviour: str, family: str) -> Iterator[tuple[int, pa.Table]]:
        """A behaviour's prompts with rows of one family, "patching" or "ablation", and those rows."""
        for table in self.tables(workdir):
            patched = pc.equal(table["operation"], "patch")
            rows = table.filter(patched if family == "patching" else pc.invert(patched))
            if len(rows) and rows["behaviour"][0].as_py() == behaviour:
                yield rows["prompt"][0].as_py(), rows

    def importance(self, behaviour: str, reading: Reading = "max") -> Importance:
        """All features of a behaviour's prompts against their logit differences; a forward pass a prompt."""
        found = Importance(tuple(sorted(self.transcoders.config.layers)), self.transcoders.num_features, reading)
        for prompt in self.prompts:
            if prompt.behaviour == behaviour and prompt.answers is not None:
                run = self._clean(prompt)
                found.add(run, difference(run.logits[-1], prompt.answers))
        return found
