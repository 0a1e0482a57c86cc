"""Nodes of a pruned graph under the names that Neuronpedia and circuit-tracer give them.

    feature    {layer}_{feature}_{position}       error   {layer}_-1_{position}
    token      E_{token id}_{position}            logit   {L + 1}_{token id}_{last position}

Errors are named as production graphs name them since circuit-tracer 0.5; the older `0_{layer}_{position}` collides with
the features of layer 0. A target that is no single token has the virtual id vocab_size + its place among the targets,
as circuit-tracer's custom targets have.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from causeway.engine.analyses.attribute.graph import AttributionGraph, PrunedGraph
from causeway.engine.model.handle import Model


@dataclasses.dataclass(frozen=True)
class GraphNames:
    """What a graph file says beside the numbers.

    Attributes:
        slug: name of the graph, also of its file. scan: what viewers find the model's features by, such as qwen3-4b.
        prompt: text. prompt_tokens: text of each token. vocab_size: of the model. transcoders: where they are from.
        settings: how the graph was generated, for people. labels: of features, by layer and number.
    """

    slug: str
    scan: str
    prompt: str
    prompt_tokens: Sequence[str]
    vocab_size: int
    transcoders: Sequence[str] = ()
    settings: dict = dataclasses.field(default_factory=dict)
    labels: Mapping[tuple[int, int], str] = dataclasses.field(default_factory=dict)


def names_of(
    graph: AttributionGraph,
    model: Model,
    slug: str,
    scan: str = "",
    transcoders: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    labels: Mapping[tuple[int, int], str] | None = None,
) -> GraphNames:
    """The texts of a graph from its model's tokenizer; token ids where it has none. `scan` is by default its name."""
    tokenizer, ids = model.tokenizer, graph.tokens
    texts = model.to_str_tokens(ids)
    prompt = tokenizer.decode(ids) if tokenizer else " ".join(texts)
    return GraphNames(
        slug, scan or model.name, prompt, texts, model.config.vocab_size, transcoders, dict(settings or {}),
        dict(labels or {}),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Node:
    """One kept node.

    Attributes:
        id: its name. kind: feature, error, token or logit. layer: -1 for tokens, L + 1 for logits. position: in the
            prompt. feature: number of the feature, -1 of errors, position of tokens, token id of logits.
        activation: of features. influence: cumulative share (small is important), None for logits. token: id of tokens
            and logits. label, probability, rank: of logits; rank is -1 for other nodes. direction: a logit that is no
            single token's, such as the difference of two answers, whose probability is its weight.
    """

    id: str
    kind: str
    layer: int
    position: int
    feature: int
    activation: float | None = None
    influence: float | None = None
    token: int = -1
    label: str = ""
    probability: float = 0.0
    rank: int = -1
    direction: bool = False


def check_names(pruned: PrunedGraph, names: GraphNames) -> None:
    """Refuse names that cannot belong to the graph.

    Raises:
        ValueError: another number of token texts than the graph has tokens, or a slug that is no file name.
    """
    expected = len(pruned.graph.tokens)
    if len(names.prompt_tokens) != expected:
        raise ValueError(f"prompt_tokens: got {len(names.prompt_tokens)} texts; the graph has {expected} tokens")
    if not names.slug or set(names.slug) & set("/\\\0"):
        raise ValueError(f"slug: got {names.slug!r}; needs a name without slashes, it becomes a file's name")


def kept_nodes(pruned: PrunedGraph, vocab_size: int) -> Iterator[Node]:
    """The kept nodes: features, errors, tokens, logits."""
    graph, cumulative = pruned.graph, pruned.kept.cumulative
    n, length = len(graph.features), len(graph.tokens)
    for column in map(int, np.flatnonzero(pruned.kept.columns)):
        influence = float(cumulative[column])
        if column < n:
            layer, position, feature = map(int, graph.features[column])
            name = f"{layer}_{feature}_{position}"
            yield Node(name, "feature", layer, position, feature, float(graph.activations[column]), influence)
        elif column < n + graph.num_errors:
            layer, position = divmod(column - n, length)
            yield Node(f"{layer}_-1_{position}", "error", layer, position, -1, influence=influence)
        else:
            position = column - n - graph.num_errors
            token = graph.tokens[position]
            yield Node(f"E_{token}_{position}", "token", -1, position, position, influence=influence, token=token)
    for rank, logit in enumerate(graph.logits):
        token = logit.token if logit.token >= 0 else vocab_size + rank
        name = f"{graph.num_layers + 1}_{token}_{length - 1}"
        yield Node(
            name, "logit", graph.num_layers + 1, length - 1, token, token=token, label=logit.label,
            probability=logit.probability, rank=rank, direction=logit.token < 0,
        )  # fmt: skip


def end_names(pruned: PrunedGraph, nodes: Sequence[Node]) -> tuple[dict[int, str], dict[int, str]]:
    """Names of kept rows and of kept columns, by their numbers; `nodes` is all that `kept_nodes` gives."""
    numbers = np.flatnonzero(pruned.kept.columns).tolist()
    columns = {number: node.id for number, node in zip(numbers, nodes, strict=False)}
    n = len(pruned.graph.features)
    logits = {n + rank: node.id for rank, node in enumerate(nodes[len(numbers) :])}
    return {number: name for number, name in columns.items() if number < n} | logits, columns


def kept_links(pruned: PrunedGraph, nodes: Sequence[Node]) -> Iterator[tuple[str, str, float]]:
    """(source, target, signed weight) of each kept edge, by the names of `nodes` (all that `kept_nodes` gives)."""
    rows, columns = end_names(pruned, nodes)
    edges = pruned.edges
    for row in np.flatnonzero(np.diff(edges.indptr)).tolist():
        for at in range(edges.indptr[row], edges.indptr[row + 1]):
            yield columns[int(edges.indices[at])], rows[row], float(edges.data[at])
