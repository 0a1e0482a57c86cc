"""Writing one prompt's graph in the formats asked for, and the flags that decide what of it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags.flag_values import named, no_effect, share
from causeway.drivers.flags.table import take
from causeway.drivers.flags.table.features import GRAPH_FORMATS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from causeway.engine.analyses.attribute.graph import AttributionGraph, PrunedGraph
    from causeway.engine.analyses.attribute.graph_sweep import GraphSweep
    from causeway.engine.analyses.attribute.prompts import CircuitPrompt

FLAGS = take("graph_format node_threshold edge_threshold heads scan feature_labels")


def check() -> None:
    """Refuse, before a model is loaded, what could not be written at the end.

    Raises:
        ValueError: an unknown format or a threshold outside its range.
    """
    if unknown := [name for name in FLAGS.graph_format if name not in (*GRAPH_FORMATS, "none")]:
        raise ValueError(f"--graph_format: got {unknown[0]!r}; needs some of {', '.join(GRAPH_FORMATS)}, or none")
    if "neuronpedia" not in FLAGS.graph_format:
        no_effect("without --graph_format=neuronpedia", "scan", "feature_labels")
    _labels()
    for name in ("node_threshold", "edge_threshold"):
        share(name)


def write(folder: Path, slug: str, sweep: GraphSweep, prompt: CircuitPrompt, graph: AttributionGraph) -> dict:
    """Write a graph's files; returns its scores and sizes."""
    from causeway.ports.graphs.graph_nodes import names_of
    from causeway.ports.graphs.save import write_graph

    model, pruned = sweep.model, graph.prune(FLAGS.node_threshold, FLAGS.edge_threshold)
    plan = sweep.settings
    settings = {
        "max_n_logits": plan.max_logits, "desired_logit_prob": plan.desired_logit_prob, "batch_size": plan.rows,
        "max_feature_nodes": plan.max_feature_nodes or graph.active,
    }  # fmt: skip
    where = [str(FLAGS.dictionaries or model.name)]
    names = names_of(graph, model, slug, FLAGS.scan or "", where, settings, _labels())
    for name in GRAPH_FORMATS:
        if name in FLAGS.graph_format:
            write_graph(folder, pruned, names, name)
    if FLAGS.heads:
        _write_heads(folder, slug, sweep, prompt, pruned)
    return {
        "id": prompt.id, "slug": slug, "behaviour": prompt.behaviour, "split": prompt.split,
        **graph.scores()._asdict(), "tokens": len(graph.tokens), "active": graph.active,
        "features": len(graph.features), "edges": graph.edges.nnz, "kept_features": len(pruned.features),
        "kept_edges": int(pruned.kept.edges.sum()),
    }  # fmt: skip


def _labels() -> Mapping[tuple[int, int], str]:
    """Labels of --feature_labels, before a model is loaded."""
    from causeway.ports.results.label_files import read_labels

    with named("feature_labels"):
        return read_labels(FLAGS.feature_labels) if FLAGS.feature_labels else {}


def _write_heads(folder: Path, slug: str, sweep: GraphSweep, prompt: CircuitPrompt, pruned: PrunedGraph) -> None:
    from causeway.engine.analyses.attribute import heads
    from causeway.ports.graphs.graph_nodes import end_names, kept_nodes
    from causeway.ports.graphs.save import write_head_splits

    splitter = heads.EdgeSplitter(sweep.model, sweep.transcoders, prompt.tokens, sweep.settings)
    rows, columns = end_names(pruned, list(kept_nodes(pruned, sweep.model.config.vocab_size)))
    splits = []
    for row, column in heads.strongest_edges(pruned, FLAGS.heads):
        target = heads.target_of(pruned.graph, row, prompt.targets)
        splits.append((rows[row], columns[column], splitter.split(target, heads.source_of(pruned.graph, column))))
    write_head_splits(folder, slug, splits)
