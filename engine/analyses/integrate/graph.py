"""The graph of features and texts: which feature drives which, which text it adds or removes, all with q.

    feature -> feature   kind pathway (of `pathways`, with what replay found of the pair) or replay (found there alone):
                         effect, low, high, q; of pathways drive, the effect for each unit of the source's change, whose
                         sign `sign` is; of replay alone that of the change under `arm`
    feature -> text      kind adds or removes: log_odds, sign, z, q, context, contrast

Layers rise along edges between features, and texts drive nothing, so there is no cycle. Effects that came through
generated tokens are no edges: they may run to any layer, and stand in the stories.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx

from causeway.engine.analyses.integrate.by_feature import DIRECTIONS, Feature, Rows, name_of, ordered
from causeway.engine.analyses.integrate.feature_table import Story

_PATHWAY = ("drive", "effect", "low", "high", "q")


def as_graph(stories: Sequence[Story], pathways: Rows, replay: Rows) -> nx.DiGraph:
    """Nodes and edges of what was found.

    Args:
        stories: of all features. pathways, replay: rows found, by source.
    """
    graph = nx.DiGraph()
    for story in stories:
        graph.add_node(story["feature"], **_node(story))
    for source, rows in pathways.items():
        for row in rows:
            target = name_of((row["target_layer"], row["target_feature"]))
            graph.add_edge(name_of(source), target, kind="pathway", **_known(row, _PATHWAY))
    for source, rows in replay.items():
        for row in ordered(rows, "delta"):
            _add_replay(graph, source, row)
    for story in stories:
        for unit in ("word", "token"):
            for direction in DIRECTIONS if story["texts"] else ():
                for row in story["texts"][f"{unit}s"][direction]:
                    _add_text(graph, story["feature"], unit, direction, row)
    for *_, edge in graph.edges(data=True):
        size = edge.get("drive", 0.0) if edge["kind"] == "pathway" else edge.get("effect", edge.get("log_odds", 0.0))
        edge["sign"] = 1 if size > 0 else -1 if size < 0 else 0
    return graph


def _add_replay(graph: nx.DiGraph, source: Feature, row: Mapping[str, Any]) -> None:
    """What replay found of a pair, beside its pathway; an edge of its own where there is no pathway. Of several rows of
    a pair the first stands, which has the smallest q."""
    pair = name_of(source), name_of((row["target_layer"], row["target_feature"]))
    if not graph.has_edge(*pair):
        values = {"arm": row.get("arm"), "effect": row["delta"], "low": row["low"], "high": row["high"], "q": row["q"]}
        graph.add_edge(*pair, kind="replay", **_known(values, tuple(values)))
    name, edge = f"replay_{row['measure']}_{row['step']}", graph.edges[pair]
    if f"{name}_q" not in edge:
        edge.update({f"{name}_delta": row["delta"], f"{name}_q": row["q"]})


def _add_text(graph: nx.DiGraph, feature: str, unit: str, direction: str, row: Mapping[str, Any]) -> None:
    """A text node, and the strongest of the edges to it."""
    node = f"{unit}:{row['text']}"
    graph.add_node(node, kind=unit, label=row["text"])
    known = graph.get_edge_data(feature, node)
    if known is None or row["q"] < known["q"]:
        graph.add_edge(
            feature, node, kind=direction, **_known(row, ("log_odds", "z", "q", "context", "contrast"))
        )  # fmt: skip


def _node(story: Story) -> dict[str, Any]:
    effect, behaviours = story["effect"] or {}, (story["behaviours"] or {}).get("strongest") or [{}]
    values = {
        "layer": story["layer"], "feature": story["feature_id"], "label": story["feature"],
        "evidence": len(story["evidence"]), "cohen_d": story["cohen_d"], "effect": effect.get("effect"),
        "effect_q": effect.get("q"), "behaviour": behaviours[0].get("outcome"),
        "behaviour_effect": behaviours[0].get("effect"), "behaviour_q": behaviours[0].get("q"),
        "cluster": story["cluster"], "cluster_label": story["cluster_label"],
    }  # fmt: skip
    return {"kind": "feature"} | _known(values, tuple(values))


def _known(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Values that are there: a graph's file has no null."""
    return {name: values[name] for name in names if values.get(name) is not None and values[name] == values[name]}
