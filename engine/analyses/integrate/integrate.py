"""What earlier analyses found of each feature, brought together: a table, stories, clusters, a graph, a summary.

Nothing is estimated anew. Each q keeps the family that its own analysis corrected it over; where a published study says
p of its effects and no q, q is Benjamini-Hochberg over that table's features. Sorted by how many analyses found
something of a feature, which orders what to read first and is no test.

Cost: sorts and groups of the tables, and of each layer F^2 C for clusters.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine import scalars
from causeway.engine.analyses.integrate import by_feature, profiles
from causeway.engine.analyses.integrate.clusters import layer_clusters
from causeway.engine.analyses.integrate.feature_table import Story, feature_table
from causeway.engine.analyses.integrate.graph import as_graph
from causeway.engine.analyses.integrate.inputs import STAGES, Inputs
from causeway.engine.analyses.integrate.stories import Gathered, gather, story, strength
from causeway.engine.stats.multiple import adjust

ALPHA, TOP, SIMILARITY = 0.05, 10, 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Integrated:
    """What was brought together.

    Attributes:
        table: a row a feature (`feature_table.SCHEMA`), the one with most evidence first.
        stories: of the same features in the same order, nested, as JSON values.
        clusters: by layer (`clusters.layer_clusters`). chains: found, the strongest first.
        graph: features and texts (`graph`). summary: counts, and where everything came from, as JSON values.
    """

    table: pa.Table
    stories: list[dict[str, Any]] = dataclasses.field(repr=False)
    clusters: Mapping[int, Mapping[str, Any]] = dataclasses.field(repr=False)
    chains: list[dict[str, Any]] = dataclasses.field(repr=False)
    graph: nx.DiGraph = dataclasses.field(repr=False)
    summary: Mapping[str, Any] = dataclasses.field(repr=False)

    def __repr__(self) -> str:
        return (
            f"Integrated({self.table.num_rows} features of {', '.join(self.summary['stages'])}; "
            f"{self.graph.number_of_edges()} edges, {len(self.chains)} chains)"
        )


def bring_together(
    inputs: Inputs, alpha: float = ALPHA, top: int = TOP, similarity: float = SIMILARITY, seed: int = 0
) -> Integrated:
    """Integrate.

    Args:
        inputs: tables of two stages or more.
        alpha: bound on q of what counts as found. top: entries of each list of a story.
        similarity: least mean similarity of features that are joined to a cluster (`profiles`).
        seed: of what clusters are like by chance.

    Raises:
        ValueError: numbers out of range, or features that an effects table has twice.
    """
    alpha = scalars.real(alpha, "alpha", 0.0, 1.0)
    top, seed = scalars.integer(top, "top", 1), scalars.seed(seed)
    similarity = scalars.real(similarity, "similarity", 0.0, 1.0)
    inputs, corrected = _with_q(inputs)
    rows = gather(inputs, alpha, top)
    clusters = _clusters(inputs, alpha, similarity, seed)
    stories = sorted((story(rows, feature, alpha, top) for feature in rows.stages), key=strength)
    _label(stories, clusters)
    chains = by_feature.chains_found(inputs, alpha)
    summary = {
        "alpha": alpha, "top": top, "similarity": similarity, "seed": seed, "stages": list(inputs.stages),
        "missing": list(inputs.missing), "effects_q": corrected, **_counts(stories, clusters),
        "pathways": _paths(inputs, rows), "chains": len(chains), "only_in": _only(rows),
        "not_selected": _not_selected(inputs),
        "sources": {
            name: {"stage": STAGES[name], **dataclasses.asdict(origin)} for name, origin in inputs.origins.items()
        },
    }  # fmt: skip
    graph = as_graph(stories, rows.downstream, rows.replay)
    return Integrated(feature_table(stories), stories, clusters, chains, graph, scalars.without_nan(summary))


def _with_q(inputs: Inputs) -> tuple[Inputs, str]:
    """Effects with q, and how it was had."""
    table = inputs.tables.get("effects")
    if table is None:
        return inputs, ""
    if len({*zip(table["layer"].to_pylist(), table["feature"].to_pylist(), strict=True)}) < table.num_rows:
        raise ValueError("effects: a feature has several rows; needs one row a feature")
    q, p = (pc.cast(table[name], pa.float64()).to_numpy(zero_copy_only=False) for name in ("q", "p"))
    if not np.isnan(q).all() or np.isnan(p).all():
        return inputs, "as recorded"
    found = adjust(p)
    column = pa.array(found.q, from_pandas=True)
    table = table.set_column(table.column_names.index("q"), "q", column)
    told = f"bh over the p of {found.tested} features, which is right where the table has all that were tested"
    return Inputs({**inputs.tables, "effects": table}, inputs.origins), told


def _clusters(inputs: Inputs, alpha: float, similarity: float, seed: int) -> dict[int, dict[str, Any]]:
    texts = by_feature.significant(inputs.rows("associations"), alpha)
    pathways = profiles.pathway_entries(by_feature.pathways_found(inputs, alpha))
    return layer_clusters(pathways, profiles.text_entries(texts), similarity, seed)


def _label(stories: Sequence[dict[str, Any]], clusters: Mapping[int, Mapping[str, Any]]) -> None:
    """Names and labels of clusters in the stories of their members."""
    of = {name: one for layer in clusters.values() for one in layer["clusters"] for name in one["features"]}
    for told in stories:
        found = of.get(told["feature"], {"name": None, "label": None})
        told |= {"cluster": found["name"], "cluster_label": found["label"]}


def _counts(stories: Sequence[Story], clusters: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    found = [one for layer in clusters.values() for one in layer["clusters"]]
    return {
        "features": len(stories), "features_by_stage": dict(Counter(s for told in stories for s in told["stages"])),
        "found": dict(Counter(part for told in stories for part in told["evidence"])),
        "layers": {str(k): n for k, n in sorted(Counter(told["layer"] for told in stories).items())},
        "clusters": len(found), "clusters_above_chance": sum(one["above_chance"] for one in found),
    }  # fmt: skip


def _paths(inputs: Inputs, rows: Gathered) -> dict[str, int]:
    return {
        "tested": inputs.rows("pathways").num_rows, "found": sum(map(len, rows.downstream.values())),
        "replay_tested": sum(rows.replay_looked.values()), "replay_found": sum(map(len, rows.replay.values())),
        "replicated": sum(bool(row["replicated"]) for found in rows.replay.values() for row in found),
        "replay_confirmed": sum(bool(row["is_pathway"]) for found in rows.replay.values() for row in found),
        "through_tokens": sum(map(len, rows.through_tokens.values())),
    }  # fmt: skip


def _not_selected(inputs: Inputs) -> dict[str, list[str]]:
    """Features that pathways asked what drives, or replay set, and that `select` does not name: perhaps of an earlier
    selection."""
    if "select" not in inputs.tables:
        return {}
    chosen = by_feature.counted(inputs.rows("select"))
    asked = {"pathways": "target_", "replay": "source_"}
    others = {name: sorted(by_feature.counted(inputs.rows(name), end).keys() - chosen) for name, end in asked.items()}
    return {name: [by_feature.name_of(one) for one in found] for name, found in others.items() if found}


def _only(rows: Gathered) -> dict[str, list[str]]:
    """Features that one stage alone names."""
    found: dict[str, list[str]] = {}
    for feature, stages in rows.stages.items():
        if len(stages) == 1:
            found.setdefault(next(iter(stages)), []).append(by_feature.name_of(feature))
    return found
