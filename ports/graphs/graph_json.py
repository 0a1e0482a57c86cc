"""Graph files of Neuronpedia and circuit-tracer, ours and theirs: the document as it is, its graph as arrays.

    kind        feature, error, token or logit, from feature_type; a type that is not known is a feature
    layer       a number, E (tokens) is -1
    feature     its number in its layer, from the node's id, or from the Cantor pair in `feature`; None of other nodes

Old files name an error `0_{layer}_{position}`, as features of layer 0 are named too; edges name such nodes by an id
that two have, and go to the first of them (`shared_ids` counts the others).

    graph = cw.load_graph("dallas.json")
    graph.with_state(pinned=[...], supernodes=[("Texas", "4_253_1", "7_99_2")]).save("dallas_grouped.json")

A file that is written again says all that it said, fields that are not known here included.
"""

import dataclasses
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from causeway.engine import scalars
from causeway.engine.sweep.durable import make_folder, write_bytes
from causeway.ports.files.config_fields import MOST_LAYERS, read_json

# A graph of millions of edges is for other programs.
MOST_BYTES = 1 << 28
_ADVICE = "needs a graph file of Neuronpedia, circuit-tracer or `causeway attribute`"
_KINDS = {"embedding": "token", "logit": "logit"}
_NODE = {"node_id": str, "layer": (str, int), "ctx_idx": int, "feature_type": str}
_LINK = {"source": str, "target": str, "weight": (int, float)}


@dataclasses.dataclass(frozen=True)
class GraphDocument:
    """A graph file. n nodes, E edges.

    Attributes:
        document: what the file says.
        kinds: of each node. layer, position: of each node [n]. features: its number in its layer, or None.
        influence: cumulative share of influence, small is important, NaN where the file has none [n].
        probability: of logits, 0 of other nodes [n].
        source, target, weight: of each edge, by number of node [E].
        shared_ids: nodes whose id an earlier one has.
    """

    document: Mapping[str, Any]
    kinds: list[str]
    layer: Int[np.ndarray, " n"]
    position: Int[np.ndarray, " n"]
    features: list[int | None]
    influence: Float[np.ndarray, " n"]
    probability: Float[np.ndarray, " n"]
    source: Int[np.ndarray, " E"]
    target: Int[np.ndarray, " E"]
    weight: Float[np.ndarray, " E"]
    shared_ids: int

    @property
    def tokens(self) -> list[str]:
        """Texts of the prompt's tokens."""
        return list(map(str, self.document["metadata"].get("prompt_tokens", ())))

    @property
    def ids(self) -> list[str]:
        """Names of the nodes."""
        return [node["node_id"] for node in self.document["nodes"]]

    @property
    def pinned(self) -> list[str]:
        """Names of the nodes that a viewer shows at once."""
        return list(self._state.get("pinnedIds") or ())

    @property
    def supernodes(self) -> list[tuple[str, ...]]:
        """Groups: a title, then the names of the nodes in it."""
        return [tuple(group) for group in self._state.get("supernodes") or ()]

    @property
    def _state(self) -> Mapping[str, Any]:
        return self.document.get("qParams") or {}

    def with_state(
        self, pinned: Iterable[str] | None = None, supernodes: Iterable[Sequence[str]] | None = None
    ) -> "GraphDocument":
        """The same graph with other pins and groups; None leaves them.

        Args:
            pinned: names of nodes. supernodes: a title and names of nodes each.

        Raises:
            ValueError: a name that no node has, or a group without nodes.
        """
        pins = self.pinned if pinned is None else list(pinned)
        groups = [list(group) for group in (self.supernodes if supernodes is None else supernodes)]
        if small := [group for group in groups if len(group) < 2]:
            raise ValueError(f"supernodes: got {scalars.shown(small[0])}; needs a title and names of nodes")
        known = set(self.ids)
        for where, names in (("pinned", pins), *(("supernodes", group[1:]) for group in groups)):
            if missing := [name for name in names if name not in known]:
                raise ValueError(f"{where}: the graph has no node {scalars.shown(missing[0])}; `ids` has their names")
        state = {**self._state, "pinnedIds": pins, "supernodes": groups}
        return dataclasses.replace(self, document={**self.document, "qParams": state})

    def save(self, path: Path | str) -> Path:
        """Write the file again, for any viewer; an earlier one is replaced."""
        path = Path(path)
        make_folder(path.parent)
        write_bytes(path, json.dumps(self.document, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        return path


def is_graph(content: Any) -> bool:
    """Whether a JSON value has the parts of a graph file."""
    return isinstance(content, dict) and all(isinstance(content.get(name), list) for name in ("nodes", "links"))


def load_graph(path: Path | str) -> GraphDocument:
    """Read a graph file of Neuronpedia, circuit-tracer or `save_graph`.

    Args:
        path: the .json file of one graph.

    Returns:
        Its nodes and edges as arrays, and the whole document.

    Raises:
        FileNotFoundError: there is none.
        ValueError: too large, no graph, or a node or link of it that is none.
    """
    if not isinstance(path, str | Path):
        raise ValueError(f"path: got {scalars.shown(path)}; {_ADVICE}")
    return parse_graph(read_json(Path(path), MOST_BYTES), str(path))


def parse_graph(content: Mapping[str, Any], where: str) -> GraphDocument:
    """The same of what a file says.

    Raises:
        ValueError: no graph, or a node or link of it that is none; `where` is named.
    """
    metadata = content.get("metadata")
    if not is_graph(content) or not isinstance(metadata, dict) or not isinstance(metadata.get("prompt_tokens"), list):
        raise ValueError(f"{where}: has no metadata with prompt_tokens, nodes and links; {_ADVICE}")
    if (place := _not_finite(content)) is not None:
        raise ValueError(f"{where}: {place.removeprefix('.')}; needs a finite number")
    nodes, links = content["nodes"], content["links"]
    numbers: dict[str, int] = {}
    for i, node in enumerate(nodes):
        _check(node, _NODE, f"{where}: nodes[{i}]")
        numbers.setdefault(node["node_id"], i)
    for i, link in enumerate(links):
        _check(link, _LINK, f"{where}: links[{i}]")
        if missing := [link[end] for end in ("source", "target") if link[end] not in numbers]:
            raise ValueError(f"{where}: links[{i}] names {scalars.shown(missing[0])}, which is no node; {_ADVICE}")
    length = len(metadata["prompt_tokens"])
    for i, node in enumerate(nodes):
        if not 0 <= (at := node["ctx_idx"]) < length:
            at = scalars.shown(at)
            raise ValueError(f"{where}: nodes[{i}] stands at token {at}, of {length} prompt_tokens; {_ADVICE}")
    kinds = [_kind(node["feature_type"]) for node in nodes]
    return GraphDocument(
        document=content,
        kinds=kinds,
        layer=np.array([_layer(node["layer"], f"{where}: nodes[{i}]") for i, node in enumerate(nodes)], int),
        position=np.array([node["ctx_idx"] for node in nodes], int),
        features=[_feature(node) if kind == "feature" else None for node, kind in zip(nodes, kinds, strict=True)],
        influence=np.array([_number(node.get("influence"), math.nan) for node in nodes]),
        probability=np.array([
            _number(node.get("token_prob"), 0.0) if kind == "logit" else 0.0
            for node, kind in zip(nodes, kinds, strict=True)
        ]),
        source=np.array([numbers[link["source"]] for link in links], int),
        target=np.array([numbers[link["target"]] for link in links], int),
        weight=np.array([link["weight"] for link in links], float),
        shared_ids=len(nodes) - len(numbers),
    )  # fmt: skip


def _check(record: Any, fields: Mapping[str, Any], where: str) -> None:
    if not isinstance(record, dict):
        raise ValueError(f"{where}: got {scalars.shown(record)}; {_ADVICE}")
    for name, kind in fields.items():
        value = record.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{where}: {name} is {scalars.shown(value)}; {_ADVICE}")


def _not_finite(value: Any) -> str | None:
    """Where the first number stands that is not finite as a float, and what it is; None where all are."""
    if isinstance(value, int | float):
        # An integer of any size is compared with a float as it is.
        return None if abs(value) <= sys.float_info.max else f" is {scalars.shown(value)}"
    if not isinstance(value, dict | list):
        return None
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if (place := _not_finite(inner)) is not None:
            return (f"[{name}]" if isinstance(value, list) else f".{scalars.shown(name)[1:-1]}") + place
    return None


def _kind(name: str) -> str:
    return "error" if "error" in name else _KINDS.get(name, "feature")


def _layer(value: str | int, where: str) -> int:
    if value == "E":
        return -1
    try:
        found = int(value)
    except ValueError:
        found = MOST_LAYERS + 1
    if not -1 <= found <= MOST_LAYERS:
        raise ValueError(f"{where}: layer is {scalars.shown(value)}; needs E or a whole number up to {MOST_LAYERS}")
    return found


def _feature(node: Mapping[str, Any]) -> int | None:
    if found := re.fullmatch(r"\d+_(\d{1,10})_\d+", node["node_id"]):
        return int(found[1])
    pair = node.get("feature")
    if not isinstance(pair, int) or pair < 0:
        return None
    total = (math.isqrt(8 * pair + 1) - 1) // 2
    return pair - total * (total + 1) // 2


def _number(value: Any, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
