"""Places of a graph's nodes in a picture: rows (layers) upwards, columns (token positions) to the right.

A cell is one row at one position. Its n nodes stand on a grid inside it, in the order in which they come,

    k = max(1, ceil(sqrt(WIDE n))) a line,    ceil(n / k) lines

and a column is as wide as its widest cell asks for, at least `NARROWEST` places, so that its token can be read. Nodes
of different cells never meet, and those of one never stand on each other. Cost: a sort of the nodes.

Shapes: n nodes, P positions.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

# Places beside each other for one above another: cells are wider than high.
WIDE = 4.0
NARROWEST = 3.0
# The part of a row's height that its nodes take.
_FILLED = 0.72


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where nodes stand.

    Attributes:
        x: from 0 to 1, left to right [n]. y: a row's number and where in it, rows from 0 upwards [n].
        edges: where columns begin and the last one ends, 0 to 1 [P+1].
    """

    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]
    edges: Float[np.ndarray, " P+1"]


def layered_layout(row: Int[np.ndarray, " n"], position: Int[np.ndarray, " n"], positions: int) -> Layout:
    """Places of nodes, in the order of the nodes within a cell.

    Args:
        row, position: of each node, from 0. positions: number of columns.

    Raises:
        ValueError: a position that is no column, or a row below 0.
    """
    if len(row) and (row.min() < 0 or position.min() < 0 or position.max() >= positions):
        raise ValueError(f"position: got {position.min()} to {position.max()}; needs 0 to {positions - 1}, rows from 0")
    order = np.lexsort((np.arange(len(row)), position, row))
    first = np.r_[True, (np.diff(row[order]) != 0) | (np.diff(position[order]) != 0)][: len(row)]
    cell = np.cumsum(first) - 1
    size = np.bincount(cell)
    place = np.arange(len(row)) - np.flatnonzero(first)[cell]
    a_line = np.maximum(1, np.ceil(np.sqrt(WIDE * size))).astype(int)
    a_line = np.minimum(a_line, size)
    width = np.full(positions, NARROWEST)
    np.maximum.at(width, position[order][first], a_line)
    edges = np.r_[0.0, np.cumsum(width)] / max(width.sum(), 1)
    lines = -(-size // a_line)
    across, line = place % a_line[cell], place // a_line[cell]
    column = position[order]
    x, y = np.empty(len(row)), np.empty(len(row))
    x[order] = edges[column] + (edges[column + 1] - edges[column]) * (across + 0.5) / a_line[cell]
    y[order] = row[order] + _FILLED * ((line + 0.5) / lines[cell] - 0.5)
    return Layout(x, y, edges)
