"""What other results of a page know of a graph's features: their words and contexts, and what changing them did.

Results are of the same features where their plans name the same weights and the same dictionaries.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from causeway.ports.graphs.graph_json import GraphDocument
from causeway.ports.pages.workdir import Result
from causeway.ports.results.context_files import CONTEXTS_FILE, FEATURES_FILE, read_table

WORDS, CONTEXTS = 8, 4
# Rows of interventions that a graph's page shows.
MOST_MEASURED = 2_000
HOLDS = {"open": "following the change", "freeze_attention": "as it was"}


def of_the_same(result: Result, results: Iterable[Result], driver: str) -> list[Result]:
    """Finished results of a command on the same weights and dictionaries."""
    parts = result.plan.get("parts", {})
    same = [(name, parts.get(name)) for name in ("weights", "dictionaries")]
    return [
        other for other in results
        if other.driver == driver and other.whole and parts
        and all(other.plan.get("parts", {}).get(name) == value for name, value in same)
    ]  # fmt: skip


def known_features(graphs: Sequence[GraphDocument], contexts: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """By "layer:feature": label, rate, tokens promoted and suppressed, and texts in which it is most active."""
    keys = sorted({key for graph in graphs for key in feature_keys(graph) if key is not None})
    found: dict[str, dict[str, Any]] = {}
    for result in contexts if keys else ():
        texts: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
        for row in read_table(result.folder, CONTEXTS_FILE, keys).to_pylist():
            if row["band"] is None:
                texts[row["layer"], row["feature"]].append(row)
        for row in read_table(result.folder, FEATURES_FILE, keys).to_pylist():
            known = _known(row, texts[row["layer"], row["feature"]])
            found.setdefault(f"{row['layer']}:{row['feature']}", known)
    return found


def feature_keys(graph: GraphDocument) -> list[tuple[int, int] | None]:
    """(layer, feature) of each node that is one."""
    layers = graph.layer.tolist()
    return [None if feature is None else (layers[i], feature) for i, feature in enumerate(graph.features)]


def _known(row: Mapping[str, Any], texts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    words = {
        name: [
            [word, round(weight, 4)] for word, weight in zip(row[name] or (), row[f"{name}_weights"] or (), strict=True)
        ][:WORDS]
        for name in ("promoted", "suppressed")
    }
    contexts = [
        {"tokens": text["tokens"], "values": [round(value, 4) for value in text["activations"]], "peak": text["peak"],
         "note": f"{text['value']:.3g}"}
        for text in texts[:CONTEXTS]
    ]  # fmt: skip
    return {"label": row["label"] or "", "rate": row["firing_rate"], **words, "contexts": contexts}


def measured(graph: GraphDocument, prompt: str, interventions: Sequence[Result]) -> list[dict[str, Any]]:
    """Interventions on features of a graph, in its prompt: those whose features are all nodes of it.

    Args:
        prompt: its id. interventions: finished results of `intervene`.
    """
    number = {(*key, int(graph.position[i])): i for i, key in enumerate(feature_keys(graph)) if key is not None}
    found = []
    for result in interventions:
        holds = result.plan["config"]["settings"]["holds"]
        for row in rows_of(pq.read_table(result.folder / "interventions.parquet"), prompt):
            nodes = [number.get((row["layer"], feature, row["position"])) for feature in row["features"]]
            if nodes and None not in nodes:
                found.append({
                    "nodes": nodes, "edit": edit_of(row), "holds": HOLDS.get(holds, holds),
                    "predicted": row["predicted"], "measured": row["intervened"] - row["baseline"],
                })  # fmt: skip
    return sorted(found, key=lambda row: -abs(row["measured"]))[:MOST_MEASURED]


def rows_of(table: pa.Table, prompt: str | None = None) -> Iterator[dict[str, Any]]:
    """Rows of interventions, of one prompt or of all; a file has a row a prompt, with lists of all its rows."""
    for lists in table.to_pylist():
        columns = {name: values for name, values in lists.items() if isinstance(values, list)}
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            if prompt is None or row["id"] == prompt:
                yield row


def edit_of(row: Mapping[str, Any]) -> str:
    """What was done, in words."""
    amount = "" if row["value"] is None else f" {row['value']:.3g}"
    return {"zero": "to 0"}.get(row["operation"], row["operation"] + amount)
