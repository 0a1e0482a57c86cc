"""`cw.save_graph`: an attribution graph as a file that other programs open.

neuronpedia   FOLDER/SLUG.json, what Neuronpedia's and circuit-tracer's viewers read
graphml       FOLDER/SLUG.graphml, for Gephi, Cytoscape and networkx
parquet       FOLDER/SLUG/nodes.parquet and edges.parquet, for pandas and polars
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from causeway.engine import scalars
from causeway.engine.analyses.attribute.graph import AttributionGraph, PrunedGraph
from causeway.engine.analyses.attribute.heads import HeadSplit
from causeway.engine.feature_labels import checked_labels
from causeway.engine.model.handle import Model, check_model
from causeway.engine.sweep.durable import make_folder, write_bytes
from causeway.ports.graphs.graph_nodes import GraphNames, check_names, names_of
from causeway.ports.graphs.graph_parquet import write_graph_tables
from causeway.ports.graphs.graphml import write_graphml
from causeway.ports.graphs.neuronpedia import LISTING, write_neuronpedia

Format = Literal["neuronpedia", "graphml", "parquet"]


def save_graph(
    graph: AttributionGraph | PrunedGraph,
    folder: str | Path,
    model: Model,
    *,
    format: Format = "neuronpedia",
    slug: str = "graph",
    scan: str = "",
    labels: Mapping[tuple[int, int], str] | None = None,
) -> Path:
    """Write a graph; a whole one is pruned at the usual thresholds first (`graph.prune`).

    Args:
        graph: what `attribute` returns, or a part of it.
        folder: made where it is not there; an earlier graph of the same slug is replaced.
        model: the graph's.
        format: neuronpedia, graphml or parquet.
        slug: name of the graph and of its file.
        scan: what viewers find the features by (default: the model's name).
        labels: of features, by (layer, feature), which viewers of neuronpedia files show.

    Returns:
        The file written; of parquet the folder of its two tables.

    Raises:
        ValueError: no graph, an unknown format, a slug that is no file name, or another model's graph.
    """
    if not isinstance(graph, AttributionGraph | PrunedGraph):
        raise ValueError(f"graph: got {scalars.shown(graph)}; needs what cw.attribute returns")
    if format not in get_args(Format):
        raise ValueError(f"format: got {scalars.shown(format)}; needs one of {', '.join(get_args(Format))}")
    if not isinstance(folder, str | Path):
        raise ValueError(f"folder: got {scalars.shown(folder)}; needs the name of a folder")
    check_model(model)
    pruned = graph.prune() if isinstance(graph, AttributionGraph) else graph
    names = names_of(pruned.graph, model, slug, scan, labels=checked_labels(labels))
    return write_graph(Path(folder), pruned, names, format)


def write_graph(folder: Path, pruned: PrunedGraph, names: GraphNames, format: Format) -> Path:
    """Write one format's file.

    Raises:
        ValueError: names that do not belong to the graph.
    """
    if format == "parquet":
        check_names(pruned, names)
        return write_graph_tables(folder / names.slug, pruned)[0].parent
    return (write_neuronpedia if format == "neuronpedia" else write_graphml)(folder, pruned, names)


_PLAIN = re.compile(r"[\w-][\w.-]*")
# Names that would be another graph's file, or that of all of them.
_TAKEN_ENDS = ("_heads", ".json", ".graphml", ".tmp")
_MOST_BYTES = 200


def graph_slugs(ids: Sequence[str]) -> list[str]:
    """A name of files for each prompt id, in order: the id where it can name files, else a number; never one for two.

    A graph's files are NAME.json, NAME.graphml, NAME_heads.json and a folder NAME, beside graph-metadata.json. Upper
    and lower case count as one, as they do on many disks.
    """
    taken = {LISTING.removesuffix(".json")}
    found: dict[int, str] = {}
    for number, name in enumerate(ids):
        if _usable(name) and name.casefold() not in taken:
            found[number] = name
            taken.add(name.casefold())
    for number in range(len(ids)):
        if number not in found:
            found[number] = _numbered(number, taken)
            taken.add(found[number])
    return [found[number] for number in range(len(ids))]


def _usable(name: str) -> bool:
    plain = _PLAIN.fullmatch(name) and len(name.encode()) <= _MOST_BYTES
    return bool(plain) and not name.casefold().endswith(_TAKEN_ENDS)


def _numbered(number: int, taken: set[str]) -> str:
    name = f"prompt-{number:05d}"
    while name in taken:
        name += "-"
    return name


def write_head_splits(folder: Path, slug: str, splits: Iterable[tuple[str, str, HeadSplit]]) -> Path:
    """Write the splits by heads of (target, source) edges, `<slug>_heads.json`; returns the file.

        [{"target": node, "source": node, "edge": 0.4, "direct": 0.1, "heads": [[layer, head, 0.3], ...], "skips": []}]

    Heads and skips (layer, part) are listed by size, without zeros. Nodes are named as in the graph's other files.
    """
    make_folder(folder)
    path = folder / f"{slug}_heads.json"
    records = [
        {
            "target": target, "source": source, "edge": split.edge, "direct": split.direct,
            "heads": _listed(split.heads), "skips": _listed(split.skips),
        }
        for target, source, split in splits
    ]  # fmt: skip
    write_bytes(path, (json.dumps(records, indent=1) + "\n").encode())
    return path


def _listed(parts: np.ndarray) -> list[list[float]]:
    places = sorted(zip(*np.nonzero(parts), strict=True), key=lambda at: -abs(parts[at]))
    return [[*map(int, at), float(parts[at])] for at in places]
