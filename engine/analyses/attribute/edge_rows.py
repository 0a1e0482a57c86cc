"""Rows of a growing graph, stored sparse as they come from the device."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array, vstack

from causeway.engine.analyses.attribute.influence import Edges
from causeway.engine.frozen.pullback import Scores
from causeway.engine.frozen.sources import ActiveFeatures
from causeway.engine.model.finite import NotFiniteError, all_finite


class SourceColumns:
    """Where each source's number lies in a batch's scores.

    Columns are active features in lexicographic order, errors (layer-major), tokens.
    """

    def __init__(self, active: ActiveFeatures, layers: int, length: int):
        self.active, self.layers, self.length = active, layers, length

    @property
    def count(self) -> int:
        """Number of columns."""
        return len(self.active.nodes) + self.layers * self.length + self.length

    def read(self, scores: Scores, rows: int, top: int) -> tuple[Float[np.ndarray, "r c"], Int[np.ndarray, " c"]]:
        """The first `rows` rows over the columns that targets up to layer `top` can reach, and those columns' ids."""
        errors = np.asarray(scores.errors)
        seen, count = min(errors.shape[1], self.length), len(self.active.nodes)
        near, by_feature = self._features(np.asarray(scores.features), seen, top)
        place = np.arange(self.layers)[:, None] * self.length + np.arange(seen)
        columns = [near, count + place.ravel(), count + self.layers * self.length + np.arange(seen)]
        values = [by_feature, errors[:, :seen].reshape(-1, errors.shape[2]), np.asarray(scores.embedding)[:seen]]
        return np.ascontiguousarray(np.concatenate(values).T[:rows]), np.concatenate(columns)

    def _features(self, scores: np.ndarray, seen: int, top: int) -> tuple[np.ndarray, np.ndarray]:
        """Features below layer `top` at the first positions, and their numbers [features, R]."""
        nodes, slots = self.active.nodes, self.active.slots
        below = np.searchsorted(nodes[:, 0], top)
        near = np.flatnonzero(nodes[:below, 1] < seen)
        layer, position, slot = nodes[near, 0], nodes[near, 1], slots[near]
        return near, scores[layer, position, :, slot]


class SparseRows:
    """Rows in the order they were computed.

    Edges whose size is below `floor` times their row's total are not stored; totals are of all edges.
    """

    def __init__(self, columns: int, floor: float):
        self.width, self.floor = columns, floor
        self.blocks: list[csr_array] = []
        self.totals: list[np.ndarray] = []
        self.own: list[np.ndarray] = []
        self.layers: list[np.ndarray] = []

    def add(self, values: Float[np.ndarray, "r c"], columns: np.ndarray, own: np.ndarray, layers: np.ndarray) -> None:
        """Rows over some columns; `own` are the rows' own columns (-1 for logits).

        Raises:
            NotFiniteError: an edge is not a number.
        """
        totals = np.abs(values).sum(axis=1, dtype=np.float64)
        if not all_finite(totals):
            raise NotFiniteError(
                f"edges to a target of layer {layers[np.argmin(np.isfinite(totals))]} are not finite, though the "
                "prompt's pass and its features are: weights of the model or of the transcoders are too large for "
                "products of both, or hold NaN"
            )
        row, place = np.nonzero(np.abs(values) > self.floor * totals[:, None])
        pointers = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(values)))])
        order = columns[place]
        self.blocks.append(csr_array((values[row, place], order, pointers), (len(values), self.width)))
        self.totals.append(totals)
        self.own.append(np.asarray(own))
        self.layers.append(np.asarray(layers))

    def edges(self) -> Edges:
        """All rows so far."""
        matrix = csr_array(vstack(self.blocks, format="csr"))
        self.blocks = [matrix]
        return Edges(matrix, np.concatenate(self.totals), np.concatenate(self.own), np.concatenate(self.layers))
