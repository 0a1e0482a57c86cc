"""Groups of features that could be one: at one position, in near layers, driven alike and driving alike.

The likeness of two nodes is the mean of two cosines of signed weights, of what drives them and of what they drive,

    likeness(a, b) = (cos(A[a, :], A[b, :]) + cos(A[:, a], A[:, b])) / 2

and 0 counts where both have none of the one. Nodes are joined by complete linkage: any two of a group are at least as
alike as asked, and no more layers apart than asked. Cost: for each position the square of its nodes.

Shapes: n nodes, k candidates at a position.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from scipy.spatial.distance import squareform

# Candidates of one position that are compared, the first ones.
MOST = 800
_APART = 2.0


def propose_supernodes(
    weights: csr_array,
    candidates: Int[np.ndarray, " c"],
    layer: Int[np.ndarray, " n"],
    position: Int[np.ndarray, " n"],
    likeness: float = 0.5,
    layers_apart: int = 2,
) -> list[list[int]]:
    """Groups of two nodes or more, the largest first.

    Args:
        weights: signed, rows of targets over columns of sources [n, n].
        candidates: nodes that may be grouped, the most important first.
        layer, position: of each node.
        likeness: least likeness of two nodes of a group, -1 to 1.
        layers_apart: most layers between two nodes of a group.

    Raises:
        ValueError: a likeness that none can have.
    """
    if not -1 <= likeness <= 1:
        raise ValueError(f"likeness: got {likeness}; needs -1 to 1, the mean of two cosines")
    by_source = csr_array(weights.T)
    groups: list[list[int]] = []
    for place in np.unique(position[candidates]):
        here = candidates[position[candidates] == place][:MOST]
        if len(here) < 2:
            continue
        alike = (_cosines(weights[here]) + _cosines(by_source[here])) / 2
        distance = np.maximum(1 - alike, 0)
        distance[np.abs(layer[here][:, None] - layer[here]) > layers_apart] = _APART + 1
        np.fill_diagonal(distance, 0)
        joined = fcluster(linkage(squareform(distance, checks=False), "complete"), 1 - likeness + 1e-12, "distance")
        members = [here[joined == group].tolist() for group in np.unique(joined)]
        groups += [found for found in members if len(found) > 1]
    return sorted(groups, key=lambda group: (-len(group), group[0]))


def _cosines(rows: csr_array) -> Float[np.ndarray, "k k"]:
    """Cosines of sparse rows; 0 where one has nothing."""
    norms = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    products = (rows @ rows.T).toarray()
    return products / np.maximum(np.outer(norms, norms), 1e-30)
