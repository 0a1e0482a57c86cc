"""Which edges of a graph matter most: the share of influence that an edge and all weightier ones hold together.

    score of an edge = |weight| / sum of |weights| into its target x influence of its target
    share            = cumulative score, from the largest, over the sum of all

as pruning scores them (`attribute.influence.edge_scores`), in the graph as it is given. Cost: one product with every
edge, and a sort.

Shapes: E edges, n nodes.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from causeway.engine.analyses.attribute.influence import Edges, cumulative_shares, edge_scores


def edge_shares(
    source: Int[np.ndarray, " E"],
    target: Int[np.ndarray, " E"],
    weight: Float[np.ndarray, " E"],
    layer: Int[np.ndarray, " n"],
    probability: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " E"]:
    """The cumulative share of each edge: small is important.

    Args:
        source, target: numbers of nodes. weight: signed.
        layer: of each node; a node is explained by lower layers alone.
        probability: of logits, 0 of all others; where it is 0 everywhere, targets without edges of their own count
            alike.
    """
    if not len(source):
        return np.zeros(0)
    order = np.lexsort((source, target))
    counts = np.bincount(target, minlength=len(layer))
    pointers = np.r_[0, np.cumsum(counts)]
    matrix = csr_array((weight[order], source[order], pointers), (len(layer), len(layer)))
    ends = probability > 0
    if not ends.any():
        ends = (counts > 0) & (np.bincount(source, minlength=len(layer)) == 0)
        probability = ends.astype(float)
    totals = np.bincount(target, np.abs(weight), minlength=len(layer))
    own = np.where(ends, -1, np.arange(len(layer)))
    alive = np.ones(len(source), bool)
    scores = edge_scores(Edges(matrix, totals, own, layer), probability.astype(float), alive, target[order])
    shares = np.empty(len(source))
    shares[order] = cumulative_shares(scores)
    return shares
