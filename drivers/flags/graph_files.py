"""Writing one prompt's graph in the formats asked for, and the flags that decide what of it is shown."""

from pathlib import Path
from typing import Literal

from absl import flags

FORMATS: tuple[Literal["neuronpedia", "graphml", "parquet"], ...] = ("neuronpedia", "graphml", "parquet")
FORMAT = flags.DEFINE_list(
    "format", ["neuronpedia"], "Files of each graph: neuronpedia, graphml, parquet; none for none."
)
NODES = flags.DEFINE_float("node_threshold", 0.8, "Share of the nodes' influence that is shown, above 0, at most 1.")
EDGES = flags.DEFINE_float("edge_threshold", 0.98, "Share of the edges' influence that is shown, above 0, at most 1.")
HEADS = flags.DEFINE_integer("heads", 0, "Split this many of each graph's strongest edges by heads.", lower_bound=0)
SCAN = flags.DEFINE_string("scan", None, "Name by which viewers find the model's features (default: --model).")


def check() -> None:
    """Refuse, before a model is loaded, what could not be written at the end.

    Raises:
        ValueError: an unknown format or a threshold outside its range.
    """
    if unknown := [name for name in FORMAT.value if name not in (*FORMATS, "none")]:
        raise ValueError(f"--format: got {unknown[0]!r}; needs some of {', '.join(FORMATS)}, or none")
    for flag in (NODES, EDGES):
        if not 0 < flag.value <= 1:
            raise ValueError(f"--{flag.name}: got {flag.value}; needs a share above 0 and at most 1")


def write(folder: Path, slug: str, sweep, prompt, graph) -> dict:
    """Write a graph's files; returns its scores and sizes."""
    from causeway.ports.graphs.graph_nodes import names_of
    from causeway.ports.graphs.save import write_graph

    model, pruned = sweep.model, graph.prune(NODES.value, EDGES.value)
    plan = sweep.settings
    settings = {
        "max_n_logits": plan.max_logits, "desired_logit_prob": plan.desired_logit_prob, "batch_size": plan.rows,
        "max_feature_nodes": plan.max_feature_nodes or graph.active,
    }  # fmt: skip
    where = [str(flags.FLAGS["dictionaries"].value or model.name)]
    names = names_of(graph, model, slug, SCAN.value or "", where, settings)
    for name in FORMATS:
        if name in FORMAT.value:
            write_graph(folder, pruned, names, name)
    if HEADS.value:
        _write_heads(folder, slug, sweep, prompt, pruned)
    return {
        "id": prompt.id, "slug": slug, "behaviour": prompt.behaviour, "split": prompt.split,
        **graph.scores()._asdict(), "tokens": len(graph.tokens), "active": graph.active,
        "features": len(graph.features), "edges": graph.edges.nnz, "kept_features": len(pruned.features),
        "kept_edges": int(pruned.kept.edges.sum()),
    }  # fmt: skip


def _write_heads(folder: Path, slug: str, sweep, prompt, pruned) -> None:
    from causeway.engine.analyses.attribute import heads
    from causeway.ports.graphs.graph_nodes import end_names, kept_nodes
    from causeway.ports.graphs.head_splits import write_head_splits

    splitter = heads.EdgeSplitter(sweep.model, sweep.transcoders, prompt.tokens, sweep.settings)
    rows, columns = end_names(pruned, list(kept_nodes(pruned, sweep.model.config.vocab_size)))
    splits = []
    for row, column in heads.strongest_edges(pruned, HEADS.value):
        target = heads.target_of(pruned.graph, row, prompt.targets)
        splits.append((rows[row], columns[column], splitter.split(target, heads.source_of(pruned.graph, column))))
    write_head_splits(folder, slug, splits)
