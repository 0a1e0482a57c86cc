"""How much of a graph is computed, in which widths and in which order."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from causeway.engine import scalars
from causeway.engine.model.buckets import STEP

# Batches from which twice as many programs are compiled, for an eighth less work.
EIGHTHS_FROM = 256
FLOOR_FROM = 65_536


@dataclasses.dataclass(frozen=True)
class AttributionPlan:
    """Budgets and widths.

    Attributes:
        max_feature_nodes: features with rows; None takes all that are active.
        max_logits: at most so many next tokens are targets.
        desired_logit_prob: the most probable ones are, until they hold this probability together.
        update_every: rows between two rankings.
        rows: width of a batch of rows.
        ignore_first: positions at the start with neither features nor errors (the attention sink).
        edge_floor: edges below this share of their row's total are not stored, so no row stores more than its
            inverse; None is 0 up to 65,536 sources and 1e-5 above.
        cut: with SAEs on the stream, whether reconstruction and error are the only way through it.
    """

    max_feature_nodes: int | None = 8192
    max_logits: int = 10
    desired_logit_prob: float = 0.95
    update_every: int = 512
    rows: int = 32
    ignore_first: int = 1
    edge_floor: float | None = None
    cut: bool = False

    def __post_init__(self):
        for name in ("max_feature_nodes", "max_logits", "update_every", "rows"):
            if getattr(self, name) is not None or name != "max_feature_nodes":
                object.__setattr__(self, name, scalars.integer(getattr(self, name), name, 1))
        if not 0 < scalars.real(self.desired_logit_prob, "desired_logit_prob") <= 1:
            raise ValueError(
                f"desired_logit_prob: got {self.desired_logit_prob}; needs a probability above 0, at most 1"
            )
        if self.edge_floor is not None and not 0 <= scalars.real(self.edge_floor, "edge_floor") < 1:
            raise ValueError(f"edge_floor: got {self.edge_floor}; needs a share of a row's total, 0 or more, below 1")
        scalars.integer(self.ignore_first, "ignore_first")

    def floor(self, sources: int) -> float:
        """The share below which an edge of a row over so many sources is not stored."""
        if self.edge_floor is not None:
            return self.edge_floor
        return 1e-5 if sources > FLOOR_FROM else 0.0


def batches(nodes: Int[np.ndarray, "R 3"], rows: int, width: int) -> Iterator[tuple[Int[np.ndarray, " r"], int]]:
    """Cut rows into batches of like cost.

    A batch costs (its highest layer) x (its last position). Rows are cut into bands of like layer, each band is sorted
    by position and cut into batches, so that the batches of a band share a layer range and differ in width.

    Yields:
        Places in `nodes`, and the number of positions the batch needs, in four steps up to `width`, or eight for many.
    """
    steps = 8 if len(nodes) >= EIGHTHS_FROM * rows else 4
    for band in _bands(nodes[:, 0], rows):
        band = band[np.argsort(nodes[band, 1], kind="stable")]
        for at in range(0, len(band), rows):
            chosen = band[at : at + rows]
            yield chosen, _width(int(nodes[chosen, 1].max()) + 1, width, steps)


def _bands(layers: Int[np.ndarray, " R"], rows: int) -> list[Int[np.ndarray, " r"]]:
    """Rows by layer: one band a layer where each fills several batches, else as many bands as a band has batches."""
    order = np.argsort(layers, kind="stable")
    starts = np.flatnonzero(np.diff(layers[order])) + 1
    if len(layers) >= 4 * rows * (len(starts) + 1):
        return np.split(order, starts)
    count = max(1, round((len(layers) / rows) ** 0.5))
    # Whole batches to a band, so that only the very last one is short.
    size = -(-len(layers) // (count * rows)) * rows
    return [order[at : at + size] for at in range(0, len(layers), size)]


def _width(needed: int, width: int, steps: int) -> int:
    # A whole number of 8 positions in four steps, of 4 in eight.
    step = -(-width // (4 * STEP)) * (4 * STEP // steps)
    return min(-(-needed // step) * step, width)
