"""Attribution graphs of many prompts as one checkpointed, resumable run.

A unit is a few prompts; its table has a row for each graph (`rows`). Each prompt is computed as if it were alone, so
its graph has the same bits in any run. Pruning and export come afterwards, from the stored graphs: thresholds and
formats are no part of the plan, and another export computes nothing again.

    workdir/plan.json, units/, graphs.parquet
"""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

from causeway.engine.analyses.attribute.attribute import attribute, check_request
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.graph import AttributionGraph
from causeway.engine.analyses.attribute.graph_table import graph_row, graph_schema, row_graph
from causeway.engine.analyses.attribute.prompts import CircuitPrompt
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.digest import dictionary_digest
from causeway.engine.frozen.sources import Transcoders
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import numerics_of
from causeway.engine.stats.splits import held_out
from causeway.engine.sweep.fingerprint import config_sha256
from causeway.engine.sweep.job import Job, tables
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan

# Version of what a row means; raise it when the same settings would give other numbers.
ROWS_VERSION = "3"


@dataclasses.dataclass(frozen=True)
class GraphSweep(Job):
    """Everything a unit needs.

    Attributes:
        model, transcoders: loaded. prompts: each once. settings: budgets and widths of every graph. parallel: devices
            to spread rows over. unit_prompts: prompts of a unit, what is lost at most when killed.

    Raises:
        ValueError: no prompts, two of one id, or a prompt that cannot be attributed, named.
    """

    model: Model
    transcoders: Transcoders
    prompts: tuple[CircuitPrompt, ...]
    settings: AttributionPlan
    parallel: RowParallel
    unit_prompts: int = 4

    def __post_init__(self):
        ids = [prompt.id for prompt in self.prompts]
        if not ids or len(set(ids)) != len(ids):
            raise ValueError(f"prompts: {len(ids)} with {len(set(ids))} distinct ids; give each prompt its own id")
        for prompt in self.prompts:
            try:
                check_request(self.model, self.transcoders, self.model.tokens(prompt.tokens))
            except ValueError as error:
                raise ValueError(f"{error} (prompt {prompt.id})") from None

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        count, size = len(self.prompts), self.unit_prompts
        sizes = tuple(min(size, count - start) for start in range(0, count, size))
        parts = {
            "weights": self.model.fingerprint,
            "dictionaries": dictionary_digest(self.transcoders),
            "prompts": config_sha256([prompt.describe() for prompt in self.prompts]),
            "rows": ROWS_VERSION,
        }
        config = {
            "numerics": numerics_of(self.model.transformer, self.transcoders),
            "settings": dataclasses.asdict(self.settings),
            "prompts": count,
        }
        schema = graph_schema(self.model.numerics.accumulate)
        about = {"model": self.model.name}
        return Plan("attribute", config, parts, sizes, Layout(schema, table="graphs"), about)

    def unit(self, index: int) -> UnitResult:
        """The graphs of one unit."""
        start = index * self.unit_prompts
        chosen = self.prompts[start : start + self.unit_prompts]
        rows = [self._row(start + i, prompt) for i, prompt in enumerate(chosen)]
        return UnitResult({name: [row[name] for row in rows] for name in rows[0]})

    def _row(self, number: int, prompt: CircuitPrompt) -> dict:
        try:
            graph = attribute(
                self.model, self.transcoders, prompt.tokens,
                targets=prompt.targets, plan=self.settings, parallel=self.parallel,
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(f"{error} (prompt {prompt.id})") from None
        own = {"prompt": number, "id": prompt.id, "behaviour": prompt.behaviour, "split": prompt.split}
        return own | graph_row(graph)

    def groups(self) -> list[tuple[str, str]]:
        """The (behaviour, split) pairs among the prompts, in order."""
        return list(dict.fromkeys((prompt.behaviour, prompt.split) for prompt in self.prompts))

    def check_held_out(self, share: float) -> None:
        """Refuse, before anything is computed, aggregates whose prompts cannot be split.

        Raises:
            ValueError: see `held_out`.
        """
        for group in self.groups():
            held_out(self.ids_of(group), share)

    def ids_of(self, group: tuple[str, str]) -> list[str]:
        """Ids of a group's prompts, in the order in which `graphs` gives them."""
        return [prompt.id for prompt in self.prompts if (prompt.behaviour, prompt.split) == group]

    def graphs(
        self, workdir: Path, group: tuple[str, str] | None = None
    ) -> Iterator[tuple[CircuitPrompt, AttributionGraph]]:
        """Each finished graph with its prompt, in order; one unit's are in memory at a time.

        Args:
            workdir: of the run. group: only those of one behaviour and split.

        Raises:
            DamagedStore: a file is not the one that was written.
        """
        for table in tables(self, workdir):
            for index, number in enumerate(table["prompt"].to_pylist()):
                prompt = self.prompts[number]
                if group in (None, (prompt.behaviour, prompt.split)):
                    yield prompt, row_graph(table, index)
