"""Graphs as GraphML, for networkx, Gephi, Cytoscape and their like.

Nodes of a pruned attribution graph carry kind, layer, position, and where they have them feature, activation,
influence, token, label, probability; edges carry the signed weight. Names of nodes are those of Neuronpedia's files
(`graph_nodes`).
"""

from pathlib import Path

import networkx as nx

from causeway.engine.analyses.attribute.graph import PrunedGraph
from causeway.engine.sweep.durable import make_folder, replacing
from causeway.ports.graphs.graph_nodes import GraphNames, Node, check_names, kept_links, kept_nodes


def as_networkx(pruned: PrunedGraph, names: GraphNames) -> nx.DiGraph:
    """The kept nodes and edges, sources pointing at targets.

    Raises:
        ValueError: names that do not belong to the graph.
    """
    check_names(pruned, names)
    nodes = list(kept_nodes(pruned, names.vocab_size))
    scores = pruned.graph.scores()
    out = nx.DiGraph(slug=names.slug, prompt=names.prompt, **scores._asdict())
    for node in nodes:
        out.add_node(node.id, **_attributes(node, names))
    for source, target, weight in kept_links(pruned, nodes):
        out.add_edge(source, target, weight=weight)
    return out


def write_graphml(folder: Path, pruned: PrunedGraph, names: GraphNames) -> Path:
    """Write `<slug>.graphml` and return its path."""
    graph = as_networkx(pruned, names)
    make_folder(folder)
    path = folder / f"{names.slug}.graphml"
    write_whole(path, graph)
    return path


def write_whole(path: Path, graph: nx.DiGraph) -> None:
    """Write any graph whose attributes are texts and numbers, in place of what is there."""
    with replacing(path) as temporary:
        nx.write_graphml(graph, temporary)


def _attributes(node: Node, names: GraphNames) -> dict[str, str | int | float]:
    """What GraphML can hold: it has no null."""
    out: dict[str, str | int | float] = {"kind": node.kind, "layer": node.layer, "position": node.position}
    out["token_text"] = names.prompt_tokens[node.position]
    if node.kind == "feature":
        out |= {"feature": node.feature, "activation": node.activation or 0.0}
    if node.influence is not None:
        out["influence"] = node.influence
    if node.token >= 0:
        out["token"] = node.token
    if node.kind == "logit":
        out |= {"label": node.label, "probability": node.probability}
    return out
