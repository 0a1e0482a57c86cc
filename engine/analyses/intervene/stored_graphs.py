"""The graphs of an `attribute` run, read one at a time from its graphs.parquet; its plan.json tells what they are of.

A graph says something about an intervention only where model, transcoders, tokens and answers are the same, so all of
these are compared before anything is run.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from causeway.engine.analyses.attribute.graph import AttributionGraph
from causeway.engine.analyses.attribute.graph_table import row_graph
from causeway.engine.analyses.attribute.prompts import CircuitPrompt
from causeway.engine.sweep.manifest import finished_table

_DECIDES = ("id", "tokens", "target_token", "target_label")


@dataclasses.dataclass(frozen=True)
class StoredGraph:
    """Where a prompt's graph lies, and of what it is: tokens, ids of its targets (-1: a direction) and their labels."""

    group: int
    row: int
    tokens: tuple[int, ...]
    targets: tuple[int, ...]
    labels: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class StoredGraphs:
    """Where each prompt's graph lies.

    Attributes:
        path: the table. digest: its sha256. graphs: by prompt id. parts: digests of what they were made with (weights,
            dictionaries). first: the first position that has features in them.
    """

    path: Path
    digest: str
    graphs: Mapping[str, StoredGraph]
    parts: Mapping[str, str]
    first: int

    @classmethod
    def open(cls, workdir: Path) -> "StoredGraphs":
        """The graphs of a finished run, known to be the ones that were written.

        Raises:
            FileNotFoundError: the folder has no graphs.parquet or no plan.json. ValueError: one of them is damaged.
        """
        found = finished_table(workdir, "graphs", "attribute")
        graphs: dict[str, StoredGraph] = {}
        with pq.ParquetFile(found.path) as file:
            for group in range(file.num_row_groups):
                columns = file.read_row_group(group, columns=list(_DECIDES)).to_pydict()
                for row, (name, *decides) in enumerate(zip(*(columns[c] for c in _DECIDES), strict=True)):
                    graphs[name] = StoredGraph(group, row, *map(tuple, decides))
        first = found.plan["config"]["settings"]["ignore_first"]
        return cls(found.path, found.sha256, graphs, found.plan["parts"], first)

    def check(self, weights: str, dictionaries: str) -> None:
        """Refuse graphs of another model or other transcoders, whose features and predictions are others.

        Args:
            weights, dictionaries: digests of what is loaded.

        Raises:
            ValueError: naming which of them differs.
        """
        for name, what, given in (
            ("weights", "model weights (or --storage)", weights),
            ("dictionaries", "transcoders (or --layers)", dictionaries),
        ):
            if self.parts[name] != given:
                raise ValueError(f"{self.path}: made with other {what} than those loaded; attribute again with these")

    def check_prompt(self, prompt: CircuitPrompt) -> None:
        """Refuse a prompt whose graph is missing or explains something else.

        Raises:
            ValueError: there is none, or it is of other tokens or of another pair of answers.
        """
        if prompt.id not in self.graphs:
            raise ValueError(f"{self.path}: no graph of prompt {prompt.id}; attribute the same prompts first")
        found, asked = self.graphs[prompt.id], [getattr(target, "label", None) for target in prompt.targets or ()]
        if found.tokens != prompt.tokens:
            raise ValueError(f"{self.path}: the graph of prompt {prompt.id} is of other tokens; attribute it again")
        if found.targets == (-1,) and list(found.labels) != asked:
            raise ValueError(
                f"{self.path}: the graph of prompt {prompt.id} explains {found.labels[0]!r}, not {asked}; attribute "
                "it again with these answers"
            )

    def read(self, prompt: str) -> AttributionGraph:
        """The graph of a prompt that `check_prompt` has passed."""
        found = self.graphs[prompt]
        with pq.ParquetFile(self.path) as file:
            return row_graph(file.read_row_group(found.group), found.row)
