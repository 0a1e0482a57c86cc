"""What `integrate` brought together, on disk.

features.parquet           a row a feature: effect, pathways, texts, behaviours, cluster; most evidence first
integrated.json            `summary` (counts, sources with their sha256), `chains`, and `features`, a story each
clusters.json              features of a layer that do the same, by layer
integrated.graphml         features and texts, with signed edges and their q, for networkx, Gephi, Cytoscape
figures/integrated.png     the strongest features, layer by layer, and what runs between them

integrated.json is written last: with it the folder is whole.
"""

import re
from pathlib import Path
from typing import Any

import networkx as nx

from causeway.engine.analyses.integrate.integrate import Integrated
from causeway.engine.sweep import durable
from causeway.engine.sweep.table import write_table
from causeway.ports.files.json_text import write_json
from causeway.ports.graphs.graphml import write_whole

TABLE, STORIES, CLUSTERS, GRAPH = "features.parquet", "integrated.json", "clusters.json", "integrated.graphml"
FIGURE = "figures/integrated.png"
FILES = (TABLE, CLUSTERS, GRAPH, FIGURE, STORIES)
# What XML cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def remove_integrated(folder: Path) -> None:
    """Removes what was brought together before, its stories first: files of two runs never stand side by side."""
    for name in reversed(FILES):
        durable.remove(folder / name)


def write_integrated(folder: Path, found: Integrated, about: dict[str, Any]) -> None:
    """Write all files but the figure into a folder that is there.

    Args:
        about: what is added to the summary.
    """
    write_table(folder / TABLE, found.table)
    write_json(folder / CLUSTERS, {str(layer): entry for layer, entry in found.clusters.items()})
    write_whole(folder / GRAPH, _printable(found.graph))
    write_json(
        folder / STORIES, {"summary": {**found.summary, **about}, "chains": found.chains, "features": found.stories}
    )  # fmt: skip


def _printable(graph: nx.DiGraph) -> nx.DiGraph:
    """The graph, with texts that XML can hold: what it cannot is written as Python writes it."""

    def escaped(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return _FORBIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), value)

    out = nx.DiGraph()
    for node, values in graph.nodes(data=True):
        out.add_node(escaped(node), **{name: escaped(value) for name, value in values.items()})
    for source, target, values in graph.edges(data=True):
        out.add_edge(escaped(source), escaped(target), **{name: escaped(value) for name, value in values.items()})
    return out
