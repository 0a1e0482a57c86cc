"""What a graph says an intervention will do to its target, to be compared with what it did.

With the feature's activation a going to a', a source of effect e is predicted to move the target by (a' / a - 1) e.
Constrained, e is the direct edge, and the prediction is exact. Otherwise e is the total effect: features downstream
are linear where they are active, attention and norms fixed, and how far that holds is what the comparison shows.
Features of one layer do not explain each other, so their predictions add; those of several layers do not.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from causeway.engine.analyses.attribute.graph import AttributionGraph
from causeway.engine.intervention.hold import Name


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Measured against predicted effects: points, slope of the line of least squares, correlations (NaN below 3)."""

    points: int
    slope: float
    pearson: float
    spearman: float


class Predictor:
    """Predicted changes of a difference of two logits.

    Args:
        graph: whose targets hold the difference. answers: the two tokens. holds: of the interventions.
    """

    def __init__(self, graph: AttributionGraph, answers: tuple[int, int], holds: Name):
        self.graph, self.direct = graph, holds == "constrained"
        weights = _weights(graph, answers)
        n = len(graph.features)
        if weights is None:
            self.effects = np.full(n, np.nan)
        elif self.direct:
            self.effects = (graph.edges[n:].T @ weights)[:n]
        else:
            self.effects = graph.total_effects(weights)[:n]
        self.columns = {tuple(feature): i for i, feature in enumerate(graph.features.tolist())}

    def change(
        self, places: Int[np.ndarray, "N 3"], before: Float[np.ndarray, " N"], after: Float[np.ndarray, " N"]
    ) -> float:
        """The predicted change; NaN where a feature that moves is not in the graph, or where predictions do not add."""
        moving = np.flatnonzero(before != after)
        if not self.direct and len(np.unique(places[moving, 0])) > 1:
            return float("nan")
        columns = [self.columns.get(tuple(place), -1) for place in places[moving].tolist()]
        if -1 in columns:
            return float("nan")
        return float(np.sum((after[moving] / before[moving] - 1) * self.effects[columns]))


def _weights(graph: AttributionGraph, answers: tuple[int, int]) -> Float[np.ndarray, " K"] | None:
    """Weights of the graph's targets that make the difference; None where they cannot."""
    tokens = [logit.token for logit in graph.logits]
    if tokens == [-1]:
        return np.ones(1)
    if not set(answers) <= set(tokens):
        return None
    return np.array([float(token == answers[0]) - float(token == answers[1]) for token in tokens])


def agreement(predicted: Float[np.ndarray, " N"], measured: Float[np.ndarray, " N"]) -> Agreement:
    """How measured effects follow predicted ones, over those that have a prediction and are not both 0."""
    # A change of nothing, such as zeroing an inactive feature, is no evidence for a prediction of nothing.
    known = np.isfinite(predicted) & np.isfinite(measured) & ((predicted != 0) | (measured != 0))
    x, y = predicted[known], measured[known]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Agreement(len(x), *[float("nan")] * 3)
    line = stats.linregress(x, y)
    return Agreement(len(x), float(line.slope), float(line.rvalue), float(stats.spearmanr(x, y).statistic))
