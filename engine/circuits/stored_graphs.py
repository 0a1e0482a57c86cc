"""The graphs of an `attribute` run, read one at a time from its graphs.parquet."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from causeway.engine.attribution.rows import row_graph
from causeway.engine.frozen.graph import AttributionGraph
from causeway.engine.sweep import file_sha256


@dataclasses.dataclass(frozen=True)
class StoredGraphs:
    """Where each prompt's graph lies.

    Attributes:
        path: the table. places: prompt id -> row group and row in it.
    """

    path: Path
    places: Mapping[str, tuple[int, int]]

    @classmethod
    def open(cls, workdir: Path) -> "StoredGraphs":
        """The graphs of a finished run.

        Raises:
            FileNotFoundError: the folder has no graphs.parquet.
        """
        path = workdir / "graphs.parquet"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; needs the --workdir of a finished `attribute` run")
        places: dict[str, tuple[int, int]] = {}
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["id"])["id"].to_pylist()
                places |= {name: (group, row) for row, name in enumerate(ids)}
        return cls(path, places)

    @property
    def digest(self) -> str:
        """sha256 of the table."""
        return file_sha256(self.path)

    def read(self, prompt: str, tokens: tuple[int, ...]) -> AttributionGraph:
        """The graph of a prompt.

        Raises:
            ValueError: there is none, or it is of other tokens.
        """
        if prompt not in self.places:
            raise ValueError(f"{self.path}: no graph of prompt {prompt}; attribute the same prompts first")
        group, row = self.places[prompt]
        with pq.ParquetFile(self.path) as file:
            graph = row_graph(file.read_row_group(group), row)
        if graph.tokens != tokens:
            raise ValueError(f"{self.path}: the graph of prompt {prompt} is of other tokens; attribute it again")
        return graph
