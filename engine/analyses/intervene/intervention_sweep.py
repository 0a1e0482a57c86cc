"""All features x operations x prompts as one checkpointed, resumable run.

A unit is one prompt: its clean pass is run once, then every row of it in batches (`clean_run.CleanRun`). What a row
holds is in `prompt_rows`; the table has one row of lists a prompt, which reading lays out.

    workdir/plan.json, units/, interventions.parquet
"""

import collections
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool

from causeway.engine.analyses.attribute.prompts import CircuitPrompt
from causeway.engine.analyses.intervene.clean_run import CleanRun, check_transcoders
from causeway.engine.analyses.intervene.importance import Importance, check_enough, read_importance
from causeway.engine.analyses.intervene.intervention_rows import feature_rows
from causeway.engine.analyses.intervene.pairs import minimal_pairs
from causeway.engine.analyses.intervene.prompt_rows import SCHEMA, PromptRows
from causeway.engine.analyses.intervene.selection import PlacedFeature, chosen_features
from causeway.engine.analyses.intervene.sets import single_sets
from causeway.engine.analyses.intervene.settings import InterventionSettings
from causeway.engine.analyses.intervene.stored_graphs import StoredGraphs
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.digest import dictionary_digest
from causeway.engine.frozen.sources import Transcoders, of_model
from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.operations import coefficients
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import numerics_of
from causeway.engine.stats.splits import held_out
from causeway.engine.sweep.fingerprint import config_sha256
from causeway.engine.sweep.job import Job, tables
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan

# Version of what a row means; raise it when the same settings would give other numbers.
ROWS_VERSION = "4"


@dataclasses.dataclass(frozen=True)
class InterventionSweep(Job):
    """Everything a unit needs.

    Attributes:
        model, transcoders: loaded. prompts: each with two answers. graphs: of the same prompts, or None.
        parallel: devices to spread rows over.

    Raises:
        ValueError: a prompt without answers or without a graph that is needed, graphs of something else, no partner
            to patch from, or transcoders that do not fit the model.
    """

    model: Model
    transcoders: Transcoders
    prompts: tuple[CircuitPrompt, ...]
    settings: InterventionSettings
    parallel: RowParallel
    graphs: StoredGraphs | None = None

    def __post_init__(self):
        check_transcoders(self.model, self.transcoders)
        if not self.prompts or any(prompt.answers is None for prompt in self.prompts):
            raise ValueError("prompts: each needs a correct and an incorrect answer, whose logits are compared")
        if self.settings.needs_graphs and self.graphs is None:
            raise ValueError("graphs: none; features are given by name, or taken from the graphs of an attribute run")
        if self.graphs is not None:
            self.graphs.check(self.model.fingerprint, dictionary_digest(self.transcoders))
            for prompt in self.prompts:
                self.graphs.check_prompt(prompt)
        for prompt in self.prompts:
            single_sets(self.settings.features, prompt)
        places = np.array([(place.layer, 0, place.feature) for place in self.settings.features], int).reshape(-1, 3)
        transcoders = of_model(self.model, self.transcoders)
        check_edits(feature_rows(transcoders, places, coefficients("own", 0.0)).edits, self.model.config, transcoders)
        _ = self.is_held_out, self.partners

    @functools.cached_property
    def partners(self) -> Mapping[int, CircuitPrompt]:
        """The prompt that each one is patched from, by number."""
        return minimal_pairs(self.prompts) if self.settings.patches else {}

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        prompts = [[p.describe(), p.answers, dict(p.roles), p.counterfactual] for p in self.prompts]
        parts = {
            "weights": self.model.fingerprint,
            "dictionaries": dictionary_digest(self.transcoders),
            "prompts": config_sha256(prompts),
            "graphs": "" if self.graphs is None else self.graphs.digest,
            "rows": ROWS_VERSION,
        }
        config = {
            "numerics": numerics_of(self.model.transformer, self.transcoders),
            "settings": dataclasses.asdict(self.settings),
            "prompts": len(self.prompts),
        }
        # How many rows a prompt has is known when its graph is read: a unit is one row of lists.
        lists = [(field.name, pa.list_(field.type)) for field in SCHEMA]
        layout, about = Layout(pa.schema(lists), table="interventions"), {"model": self.model.name}
        return Plan("intervene", config, parts, (1,) * len(self.prompts), layout, about)

    def unit(self, index: int) -> UnitResult:
        """All rows of one prompt."""
        try:
            rows = self._prompt_rows(index).rows()
        except ValueError as error:
            raise ValueError(f"{error} (prompt {self.prompts[index].id})") from None
        return UnitResult({name: [[row[name] for row in rows]] for name in SCHEMA.names})

    def _prompt_rows(self, index: int) -> PromptRows:
        prompt = self.prompts[index]
        graph = None if self.graphs is None else self.graphs.read(prompt.id)
        partner = self.partners.get(index)
        first = 1 if self.graphs is None else self.graphs.first
        chosen = self._chosen_for(index) if self.settings.chooses else None
        return PromptRows(self._clean, prompt, index, self.settings, graph, partner, first, chosen)

    @functools.cached_property
    def is_held_out(self) -> Bool[np.ndarray, " P"]:
        """Which prompts are held out, of every behaviour and split its share."""
        groups: dict[tuple[str, str], list[int]] = collections.defaultdict(list)
        for index, prompt in enumerate(self.prompts):
            groups[prompt.behaviour, prompt.split].append(index)
        mask = np.zeros(len(self.prompts), bool)
        for members in groups.values():
            mask[members] = held_out([self.prompts[i].id for i in members], self.settings.held_out, self.settings.seed)
        return mask

    def _chosen_for(self, index: int) -> tuple[PlacedFeature, ...]:
        """What is changed on a prompt: on those that choose, nothing."""
        prompt = self.prompts[index]
        return self._chosen[prompt.behaviour, prompt.split] if self.is_held_out[index] else ()

    @functools.cached_property
    def _chosen(self) -> dict[tuple[str, str], tuple[PlacedFeature, ...]]:
        """The features that the prompts of each behaviour and split choose."""
        assert self.graphs is not None  # settings.needs_graphs
        read, settings = self.graphs.read, self.settings
        choosing = [prompt for prompt, apart in zip(self.prompts, self.is_held_out, strict=True) if not apart]
        return {
            group: chosen_features(
                ((p, read(p.id)) for p in choosing if (p.behaviour, p.split) == group),
                settings.holds, settings.max_features,
            )
            for group in {(prompt.behaviour, prompt.split) for prompt in choosing}
        }  # fmt: skip

    def _clean(self, prompt: CircuitPrompt) -> CleanRun:
        return CleanRun(self.model, self.transcoders, prompt.tokens, self.parallel)

    def laid_out(self, table: pa.Table) -> pa.Table:
        """A prompt's rows, one a row."""
        return pa.table([table[name].combine_chunks().flatten() for name in SCHEMA.names], schema=SCHEMA)

    def rows_of(self, workdir: Path, behaviour: str, family: str) -> Iterator[tuple[int, pa.Table]]:
        """A behaviour's prompts with rows of one family, "patching" or "ablation", and those rows."""
        for table in tables(self, workdir):
            patched = pc.equal(table["operation"], "patch")
            rows = table.filter(patched if family == "patching" else pc.invert(patched))
            if len(rows) and rows["behaviour"][0].as_py() == behaviour:
                yield rows["prompt"][0].as_py(), rows

    def check_importance(self) -> None:
        """Refuse, before anything is run, behaviours with too few prompts for a correlation.

        Raises:
            ValueError: fewer than 3 prompts of a behaviour, or fewer than 3 of those held out.
        """
        sides = [
            (prompt.behaviour, apart) for prompt, apart in zip(self.prompts, self.is_held_out.tolist(), strict=True)
        ]
        for (behaviour, apart), count in collections.Counter(sides).items():
            check_enough(count, f"{behaviour} has {count} prompts" + " held out" * apart)

    def importance(self, behaviour: str, reading: str = "max") -> tuple[Importance, Importance | None]:
        """All features of a behaviour's prompts against their logit differences, and the same of those held out.

        Args:
            behaviour: whose prompts.
            reading: a feature's activation on a prompt: max over its tokens but the first, or last.

        Cost: two forward passes a prompt, batched; ranks of differences are known when all of them are.
        """
        sides: tuple[list[CircuitPrompt], list[CircuitPrompt]] = [], []
        for prompt, apart in zip(self.prompts, self.is_held_out.tolist(), strict=True):
            if prompt.behaviour == behaviour:
                sides[apart].append(prompt)
        return self._importance(sides[0], reading), self._importance(sides[1], reading, True) if sides[1] else None

    def _importance(self, prompts: Sequence[CircuitPrompt], reading: str, keep: bool = False) -> Importance:
        asked = [(prompt.tokens, prompt.answers or (0, 0)) for prompt in prompts]
        return read_importance(self.model, self.transcoders, asked, reading, self.parallel, keep)
