"""Graph files of Neuronpedia and circuit-tracer: `<slug>.json`, listed in `graph-metadata.json` beside it.

    metadata   slug, scan, prompt, prompt_tokens, thresholds, settings
    qParams    the viewer's state, empty
    nodes      kept nodes (`graph_nodes`); influence is the cumulative share, so that small is important
    links      {source, target, weight}: signed direct effects

A feature's number is the Cantor pair of layer and feature, (l + f)(l + f + 1) / 2 + f. Valid against Neuronpedia's
graph schema 1.0.0. Nodes and links are written one a line as they come: a graph of millions of edges takes no memory.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from causeway.engine.analyses.attribute.graph import PrunedGraph
from causeway.engine.sweep.checksums import recorded
from causeway.engine.sweep.durable import make_folder, replacing, write_bytes
from causeway.ports.files.config_fields import Fields, read_json
from causeway.ports.graphs.graph_nodes import GraphNames, Node, check_names, kept_links, kept_nodes

SCHEMA_VERSION = 1
LISTING = "graph-metadata.json"
_TYPES = {
    "feature": "cross layer transcoder", "error": "mlp reconstruction error", "token": "embedding", "logit": "logit",
}  # fmt: skip


def cantor(layer: int, feature: int) -> int:
    """One number for (layer, feature)."""
    return (layer + feature) * (layer + feature + 1) // 2 + feature


def write_neuronpedia(folder: Path, pruned: PrunedGraph, names: GraphNames) -> Path:
    """Write `<slug>.json` and its entry in `graph-metadata.json`; an earlier one of the same slug is replaced.

    Args:
        folder: made where it is not there. pruned: the part of a graph to show. names: texts of the graph.

    Returns:
        The file written.

    Raises:
        ValueError: names that do not belong to the graph, or a listing in the folder that is damaged.
    """
    check_names(pruned, names)
    make_folder(folder)
    listing, metadata = _listed(folder), _metadata(pruned, names)
    path = folder / f"{names.slug}.json"
    nodes = list(kept_nodes(pruned, names.vocab_size))
    links = kept_links(pruned, nodes)
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(f'{{"metadata": {json.dumps(metadata)},\n"qParams": {json.dumps(_no_state())}')
        _write_list(file, "nodes", (_record(node, names) for node in nodes))
        _write_list(file, "links", ({"source": s, "target": t, "weight": w} for s, t, w in links))
        file.write("}\n")
    graphs = [entry for entry in listing if entry.get("slug") != names.slug] + [metadata]
    with recorded(folder, [LISTING]):
        write_bytes(folder / LISTING, (json.dumps({"graphs": graphs}, indent=1) + "\n").encode())
    return path


def _write_list(file: TextIO, name: str, records: Iterable[dict[str, Any]]) -> None:
    file.write(f',\n"{name}": [')
    for i, record in enumerate(records):
        file.write((",\n" if i else "\n") + json.dumps(record, allow_nan=False))
    file.write("\n]")


def _listed(folder: Path) -> list[dict[str, Any]]:
    path = folder / LISTING
    if not path.exists():
        return []
    graphs = Fields(str(path), read_json(path)).take("graphs", list)
    if not all(isinstance(entry, dict) for entry in graphs):
        raise ValueError(f"{path}: not a listing of graphs; remove it or write to another folder")
    return graphs


def _metadata(pruned: PrunedGraph, names: GraphNames) -> dict[str, Any]:
    scores = pruned.graph.scores()
    return {
        "slug": names.slug,
        "scan": names.scan,
        "transcoder_list": list(names.transcoders),
        "prompt_tokens": list(names.prompt_tokens),
        "prompt": names.prompt,
        "node_threshold": pruned.node_threshold,
        "schema_version": SCHEMA_VERSION,
        "info": {"generator": {"name": "causeway"}},
        "generation_settings": dict(names.settings),
        "pruning_settings": {"node_threshold": pruned.node_threshold, "edge_threshold": pruned.edge_threshold},
        "scores": {"replacement": scores.replacement, "completeness": scores.completeness},
    }


def _no_state() -> dict[str, Any]:
    return {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""}


def _record(node: Node, names: GraphNames) -> dict[str, Any]:
    """A node as the viewers read it."""
    layer, number, shown = _identity(node)
    return {
        "node_id": node.id,
        "feature": number,
        "layer": layer,
        "ctx_idx": node.position,
        "feature_type": _TYPES[node.kind],
        "token_prob": node.probability,
        "is_target_logit": node.rank == 0,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": shown,
        "clerp": _told(node, names),
        "influence": node.influence,
        "activation": node.activation,
    }


def _told(node: Node, names: GraphNames) -> str:
    """What a viewer says of a node: of a feature its label, where it has one; of a token its probability.

    A direction, such as the difference of two answers, has no probability.
    """
    if node.kind == "logit":
        return f'Output "{node.label}"' + ("" if node.direction else f" (p={node.probability:.3f})")
    return names.labels.get((node.layer, node.feature), "") if node.kind == "feature" else ""


def _identity(node: Node) -> tuple[str, int, str]:
    """Layer, number and the name under which a viewer joins a node's occurrences."""
    if node.kind == "feature":
        return str(node.layer), cantor(node.layer, node.feature), f"{node.layer}_{node.feature}-0"
    if node.kind == "error":
        return str(node.layer), -1, f"{node.layer}_-1-{node.position}"
    if node.kind == "token":
        return "E", node.position, f"E_{node.token}-{node.position}"
    return str(node.layer), node.token, f"L_{node.token}-{node.position}"
