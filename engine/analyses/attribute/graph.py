"""An attribution graph: what the features, errors and tokens of a prompt contribute to each other and to the logits.

Nodes, in this order: features (lexicographic by layer, position, feature), errors (layer-major), tokens, logits. Edges
are signed and stored sparse, rows of targets over columns of sources: the direct linear effect of a source on its
target's pre-activation (features) or on its logit less the mean logit.

Shapes: n features, L layers, T tokens, K logits; m = n + L T + T columns; n + K rows.
"""

import dataclasses
import html
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from causeway.engine.analyses.attribute.influence import Edges, Kept, prune, scores


class GraphScores(NamedTuple):
    """How much of the graph runs through features, both in [0, 1]; see `influence.scores`."""

    replacement: float
    completeness: float


@dataclasses.dataclass(frozen=True)
class Logit:
    """A target at the end of the prompt: one token's logit, or a direction.

    Attributes:
        label: text. token: its id, -1 for a direction. probability: of the token; the weight of a direction.
    """

    label: str
    token: int
    probability: float


@dataclasses.dataclass(frozen=True)
class AttributionGraph:
    """Nodes and edges of one prompt.

    Attributes:
        tokens: token ids.
        num_layers: L.
        features: [n, 3] of (layer, position, feature).
        activations: [n].
        logits: targets.
        edges: [n + K, m] signed weights.
        totals: sum of |weights| of each row over the graph's own columns and over those of active features that are
            not in it, [n + K].
        active: number of active features of the prompt; those beyond n were less influential.
    """

    tokens: tuple[int, ...]
    num_layers: int
    features: Int[np.ndarray, "n 3"]
    activations: Float[np.ndarray, " n"]
    logits: tuple[Logit, ...]
    edges: csr_array
    totals: Float[np.ndarray, " rows"]
    active: int

    def __repr__(self) -> str:
        targets = ", ".join(repr(logit.label) for logit in self.logits[:5]) + ", ..." * (len(self.logits) > 5)
        return (
            f"AttributionGraph({len(self.tokens)} tokens, {len(self.features)} of {self.active} active features, "
            f"{self.edges.nnz} edges; targets {targets})"
        )

    def _repr_html_(self) -> str:
        """The same as a small table, for notebooks."""
        found = self.scores()
        rows = {
            "tokens": len(self.tokens), "features": f"{len(self.features)} of {self.active} active",
            "edges": self.edges.nnz, "targets": html.escape(", ".join(repr(logit.label) for logit in self.logits)),
            "replacement": f"{found.replacement:.3f}", "completeness": f"{found.completeness:.3f}",
        }  # fmt: skip
        cells = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
        return f"<table>{cells}</table>"

    @property
    def num_errors(self) -> int:
        """Error nodes: one a layer and token."""
        return self.num_layers * len(self.tokens)

    @property
    def probabilities(self) -> Float[np.ndarray, " K"]:
        """Weights of the targets."""
        return np.array([logit.probability for logit in self.logits])

    def dense(self) -> Float[np.ndarray, "M M"]:
        """The whole matrix, targets by sources over all nodes; rows of errors and tokens and columns of logits are 0.

        Memory: (n + L T + T + K)^2 numbers. For small graphs.
        """
        n, m, k = len(self.features), self.edges.shape[1], len(self.logits)
        out = np.zeros((m + k, m + k), self.edges.dtype)
        rows = self.edges.toarray()
        out[:n, :m], out[m:, :m] = rows[:n], rows[n:]
        return out

    def _within(self) -> Edges:
        """The edges with each row's total taken over the graph's own nodes."""
        n = len(self.features)
        totals = np.asarray(abs(self.edges).sum(axis=1)).ravel()
        columns = np.concatenate([np.arange(n), np.full(len(self.logits), -1)])
        layers = np.concatenate([self.features[:, 0], np.full(len(self.logits), self.num_layers)])
        return Edges(self.edges, totals, columns, layers)

    def _weights(self) -> Float[np.ndarray, " rows"]:
        return np.concatenate([np.zeros(len(self.features)), self.probabilities])

    def _are_tokens(self) -> Bool[np.ndarray, " m"]:
        return np.arange(self.edges.shape[1]) >= len(self.features) + self.num_errors

    def scores(self) -> GraphScores:
        """Replacement and completeness scores."""
        tokens = self._are_tokens()
        errors = ~tokens & (np.arange(len(tokens)) >= len(self.features))
        return GraphScores(*scores(self._within(), self._weights(), errors, tokens))

    def prune(self, node_threshold: float = 0.8, edge_threshold: float = 0.98) -> "PrunedGraph":
        """The part of the graph that carries most influence.

        Args:
            node_threshold: share of the nodes' influence kept.
            edge_threshold: share of the edges' influence kept, among those nodes.

        Raises:
            ValueError: a threshold outside (0, 1].
        """
        for name, value in (("node_threshold", node_threshold), ("edge_threshold", edge_threshold)):
            if not 0 < value <= 1:
                raise ValueError(f"{name}: got {value}; needs a share above 0 and at most 1")
        kept = prune(self._within(), self._weights(), self._are_tokens(), node_threshold, edge_threshold)
        return PrunedGraph(self, kept, node_threshold, edge_threshold)

    def total_effects(self, weights: Float[np.ndarray, " K"] | None = None) -> Float[np.ndarray, " m"]:
        """Effect of each source on the targets over all paths, with features linear where they are active.

        Where a direct edge holds every other feature still, here a feature that rises by a share of its activation
        passes that share on: effect = A + (A / activation) effect, solved from the logits down.

        Args:
            weights: of the targets, default their probabilities; signed weights give a difference of logits.
        """
        n = len(self.features)
        rows = self.edges[n:].T @ (self.probabilities if weights is None else np.asarray(weights, np.float64))
        for layer in np.unique(self.features[:, 0])[::-1]:
            at = np.flatnonzero(self.features[:, 0] == layer)
            rows = rows + (rows[at] / self.activations[at]) @ self.edges[at]
        return rows


@dataclasses.dataclass(frozen=True)
class PrunedGraph:
    """A graph and what of it is kept.

    Attributes:
        graph: the whole.
        kept: masks over columns and stored edges.
        node_threshold: share of the nodes' influence that was asked for.
        edge_threshold: share of the edges' influence.
    """

    graph: AttributionGraph
    kept: Kept
    node_threshold: float
    edge_threshold: float

    def __repr__(self) -> str:
        return (
            f"PrunedGraph({len(self.features)} of {len(self.graph.features)} features, "
            f"{int(self.kept.edges.sum())} of {self.graph.edges.nnz} edges; of {self.graph!r})"
        )

    @property
    def features(self) -> Int[np.ndarray, "k 3"]:
        """Features kept, as (layer, position, feature)."""
        return self.graph.features[self.kept.columns[: len(self.graph.features)]]

    @property
    def edges(self) -> csr_array:
        """The kept edges, rows and columns as in the whole graph."""
        matrix = self.graph.edges
        data = np.where(self.kept.edges, matrix.data, 0)
        # Copied: zeros are taken out in place, and the whole graph's indices must stay.
        out = csr_array((data, matrix.indices, matrix.indptr), matrix.shape, copy=True)
        out.eliminate_zeros()
        return out
