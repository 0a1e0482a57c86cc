"""The section of `attribute`: graphs to look into, their scores, and what a behaviour's graphs have in common."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.ports.files.jsonl import read_lines
from causeway.ports.graphs.graph_json import GraphDocument, load_graph
from causeway.ports.pages.charts.histograms import histograms
from causeway.ports.pages.explorer import CAPTION, graph_view
from causeway.ports.pages.graph_known import known_features, measured, of_the_same
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.workdir import Result, read_json

# Graphs of a section, and edges of all of them together: what a page holds without being slow to open.
MOST_GRAPHS, MOST_EDGES = 12, 150_000
# Characters of a prompt in its graph's heading.
HEADING = 80
ANSWERS = (
    "What two answers begin with in common was put behind the prompt, and is shown as its end: a graph explains the "
    "first token in which they part."
)
Read = Sequence[tuple[Mapping[str, Any], GraphDocument]]
SCORES = {
    "id": "prompt", "text": "its text", "behaviour": "behaviour", "split": "split", "replacement": "replacement",
    "completeness": "completeness", "tokens": "tokens", "active": "active features", "features": "in the graph",
    "kept_features": "features kept", "kept_edges": "edges kept",
}  # fmt: skip
NODES = {
    "layer": "layer", "feature_idx": "feature", "place": "place", "total_effect": "total effect",
    "total_effect_low": "from", "total_effect_high": "to", "attribution": "direct effect",
    "mean_activation": "mean value", "frequency": "share of prompts",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str, results: Sequence[Result]) -> Section:
    """The section.

    Args:
        results: all of the page; contexts and interventions of the same features are shown at the nodes.
    """
    lead = f"causeway attribute, {result.folder}"
    if not result.whole:
        return Section(title, anchor, [Missing(f"No graphs yet: {result.missing}.")], lead)
    path = result.folder / "scores.jsonl"
    if not path.exists():
        return Section(title, anchor, _graphs(result, *_read(result, _listed(result.folder / "graphs")), results), lead)
    scores = [row for row in read_lines(path, dict).items if row]
    there, read = _read(result, scores)
    texts = {row["id"]: _prompt(graph) for row, graph in read}
    scores = [dict(row) | {"text": texts.get(row["id"])} for row in scores]
    blocks: list[Block] = [*_scores(scores), *_graphs(result, there, read, results)]
    for path in sorted(result.folder.glob("*/attribution_graph_*.json")):
        blocks += _aggregate(path)
    return Section(title, anchor, blocks, lead)


def _listed(folder: Path) -> list[dict[str, Any]]:
    """Of graphs that no run of `attribute` wrote, a row each."""
    listed = [entry.get("slug") for entry in read_json(folder / "graph-metadata.json").get("graphs", ())]
    return [{"id": slug, "slug": slug} for slug in listed]


def _scores(scores: Sequence[Mapping[str, Any]]) -> list[Block]:
    if not scores:
        return [Missing("No prompt has a graph.")]
    table = pa.Table.from_pylist([{name: row.get(name) for name in SCORES} for row in scores])
    means = {name: sum(row[name] for row in scores) / len(scores) for name in ("replacement", "completeness")}
    blocks: list[Block] = [Cards([
        Card("graphs", str(len(scores)), "one a prompt"),
        Card("replacement", f"{means['replacement']:.3f}", "influence that comes from tokens, not from errors; mean"),
        Card("completeness", f"{means['completeness']:.3f}", "of nodes' input, the share that is no error; mean"),
    ])]  # fmt: skip
    if len(scores) > 2:
        long = [{"score": name, "value": row[name]} for row in scores for name in means]
        blocks.append(Chart(
            "scores", "How much of the answers runs through features",
            "Number of graphs by score, 0 to 1. Replacement: the share of influence on the answers that comes from "
            "tokens and not from what the features leave unexplained. Completeness: of all nodes' input, weighted by "
            "influence, the share that is explained.",
            histograms("value", "score", "score"), pa.Table.from_pylist(long),
        ))  # fmt: skip
    return [*blocks, DataTable("graphs", "Graphs", "A row a prompt, before and after pruning.", table, SCORES, shown=8)]


def _read(result: Result, scores: Sequence[Mapping[str, Any]]) -> tuple[list[Path], Read]:
    """The files of the graphs that were written, and as many of the graphs as a page holds, each with its scores."""
    read: list[tuple[Mapping[str, Any], GraphDocument]] = []
    edges, files = 0, [(row, result.folder / "graphs" / f"{row['slug']}.json") for row in scores]
    there = [(row, path) for row, path in files if path.is_file()]
    for row, path in there:
        if len(read) == MOST_GRAPHS:
            break
        graph = load_graph(path)
        edges += len(graph.source)
        if read and edges > MOST_EDGES:
            break
        read.append((row, graph))
    return [path for _, path in there], read


def _prompt(graph: GraphDocument) -> str:
    return str(graph.document["metadata"].get("prompt", ""))


def _graphs(result: Result, there: Sequence[Path], read: Read, results: Sequence[Result]) -> list[Block]:
    """An explorer of each graph that was read, below its prompt."""
    if not there:
        return [
            Prose("The graphs were not written as files that can be shown here (--graph_format=neuronpedia).", "note")
        ]
    known = known_features([graph for _, graph in read], of_the_same(result, results, "contexts"))
    changed = of_the_same(result, results, "intervene")
    blocks: list[Block] = [Prose(ANSWERS, "note")]
    for i, (row, graph) in enumerate(read):
        blocks += [Prose(f"The prompt of {row['id']}: {_prompt(graph)}"), graph_view(
            f"graph_{i}", f"Graph of “{_end(_prompt(graph)) or row['id']}”", graph,
            {key: known[key] for key in _names(graph) if key in known}, measured(graph, row["id"], changed),
            "Read as the first one." if i else CAPTION,
        )]  # fmt: skip
    if left := len(there) - len(read):
        said = f"{left} more graphs are in {result.folder / 'graphs'}; a page of any of them:"
        blocks.append(Missing(said, f"causeway report --graph={there[len(read)]}"))
    return blocks


def _end(text: str) -> str:
    """The end of a text, which is what a graph explains, short enough for a heading."""
    return text if len(text) <= HEADING else f"…{text[-HEADING:]}"


def _names(graph: GraphDocument) -> list[str]:
    layers = graph.layer.tolist()
    return sorted({f"{layers[i]}:{feature}" for i, feature in enumerate(graph.features) if feature is not None})


def _aggregate(path: Path) -> list[Block]:
    """The mean graph of a behaviour's prompts, as a table."""
    content = read_json(path)
    nodes = [node for node in content.get("nodes", ()) if node.get("type") != "output"]
    about = content.get("metadata", {})
    if not nodes:
        return []
    rows = [{name: node.get(name) for name in NODES} for node in nodes]
    rows.sort(key=lambda row: -abs(row["total_effect"] or 0))
    name = f"{path.parent.name}_{path.stem.removeprefix('attribution_graph_')}"
    return [DataTable(
        "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_") else "-" for sign in f"mean_{name}"),
        f"What the graphs of {about.get('behaviour', name)} have in common ({about.get('split', '')})",
        f"Features by their total effect on the answers (nats), along all paths: the mean over {about.get('prompts')} "
        "prompts, 0 where a feature is not in the graph, with 95 % intervals. Places are counted from the end of the "
        "prompt, or named by its roles.",
        pa.Table.from_pylist(rows), NODES, file=str(path),
    )]  # fmt: skip
