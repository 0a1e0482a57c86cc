"""The files of a behaviour's aggregate: `attribution_graph_{split}.json` and `.graphml`.

    {"nodes": [{"id": "L15_F1234@-1", "type": "feature", "layer": 15, "feature_idx": 1234, "place": "-1", ...}],
     "edges": [{"source": "L15_F1234@-1", "target": "output", "weight": 0.05, "low": ..., "high": ...}],
     "metadata": {...}}

The names of fields are those of the circuit pipeline's document; ids carry the place as well, since a feature at the
subject is not the same node as at the last token. The published aggregate, which has neither places nor signs, is
written under `as_published_attribution_graph_{split}` with the document's own ids and its star of edges.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import networkx as nx

from causeway.engine.analyses.as_published.attribution import PublishedAggregate
from causeway.engine.analyses.attribute.aggregate import OUTPUT, Aggregate
from causeway.engine.stats.paired import METHOD, PairedMean
from causeway.engine.sweep.durable import make_folder, replacing, write_bytes

Record = dict[str, Any]


def write_aggregate(folder: Path, split: str, found: Aggregate, metadata: Mapping[str, Any]) -> list[Path]:
    """Write both files of an aggregate.

    Args:
        folder: made where it is not there. metadata: of the run (JSON-able); prompts and settings are added.
    """
    names = [key.name for key in found.nodes]
    nodes: list[Record] = [
        {
            "id": names[i], "type": key.kind, "layer": key.layer, "feature_idx": key.feature, "place": key.place,
            **_mean("attribution", found.attribution, i), **_mean("total_effect", found.total, i),
            "mean_activation": float(found.activation[i]), "frequency": float(found.frequency[i]),
        }
        for i, key in enumerate(found.nodes)
    ]  # fmt: skip
    edges = [
        {
            "source": names[source], "target": "output" if target == OUTPUT else names[target],
            **_mean("weight", found.weight, i), "frequency": float(found.edge_frequency[i]),
        }
        for i, (target, source) in enumerate(zip(found.target, found.source, strict=True))
    ]  # fmt: skip
    settings = found.settings
    about = {
        **metadata, "prompts": found.prompts, "interval": METHOD, "confidence": settings.confidence,
        "max_nodes": settings.max_nodes, "edges_per_node": settings.edges_per_node, "held_out": settings.held_out,
        "chosen_on": found.chosen_on,
    }  # fmt: skip
    return _write(folder, f"attribution_graph_{split}", [*nodes, {"id": "output", "type": "output"}], edges, about)


def write_as_published(folder: Path, split: str, found: PublishedAggregate, metadata: Mapping[str, Any]) -> list[Path]:
    """Write both files of the published aggregate, of unsigned sizes from an input node to two output nodes."""
    nodes: list[Record] = [{"id": "input", "type": "input"}]
    edges: list[Record] = []
    for layer, feature, count, correct, incorrect in zip(
        *(found.layer.tolist(), found.feature.tolist(), found.count.tolist()),
        *(found.correct.tolist(), found.incorrect.tolist()), strict=True,
    ):  # fmt: skip
        name = f"L{layer}_F{feature}"
        nodes.append({
            "id": name, "type": "feature", "layer": layer, "feature_idx": feature, "count": count,
            "frequency": count / found.prompts, "published_attribution_correct": correct,
            "published_attribution_incorrect": incorrect,
        })  # fmt: skip
        edges.append({"source": "input", "target": name, "weight": abs(correct - incorrect)})
        edges.append({"source": name, "target": "output_correct", "weight": correct})
        edges.append({"source": name, "target": "output_incorrect", "weight": incorrect})
    nodes += [{"id": name, "type": "output"} for name in ("output_correct", "output_incorrect")]
    about = {**metadata, "prompts": found.prompts}
    return _write(folder, f"as_published_attribution_graph_{split}", nodes, edges, about)


def _mean(name: str, mean: PairedMean, i: int) -> Record:
    """Mean and interval; null where the prompts cannot tell."""
    low, high = (None if math.isnan(value) else float(value) for value in (mean.low[i], mean.high[i]))
    short = "" if name == "weight" else f"{name}_"
    return {name: float(mean.effect[i]), f"{short}low": low, f"{short}high": high}


def _write(
    folder: Path, stem: str, nodes: Iterable[Record], edges: Iterable[Record], metadata: Mapping[str, Any]
) -> list[Path]:
    nodes, edges = list(nodes), list(edges)
    make_folder(folder)
    graph = nx.DiGraph(metadata=json.dumps(metadata))
    for node in nodes:
        graph.add_node(node["id"], **_present(node, {"id"}))
    for edge in edges:
        graph.add_edge(edge["source"], edge["target"], **_present(edge, {"source", "target"}))
    paths = [folder / f"{stem}.graphml", folder / f"{stem}.json"]
    with replacing(paths[0]) as temporary:
        nx.write_graphml(graph, temporary)
    document = {"nodes": nodes, "edges": edges, "metadata": dict(metadata)}
    write_bytes(paths[1], (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
    return paths


def _present(record: Record, names: set[str]) -> Record:
    """GraphML has no null."""
    return {name: value for name, value in record.items() if name not in names and value is not None}
