"""Ways to a direction from labelled representations x_i [D].

Of labels right (1) and wrong (0), mu_1 and mu_0 being the means of the right and the wrong ones:

    difference    mu_1 - mu_0
    mass_mean     Sigma^-1 (mu_1 - mu_0), Sigma the covariance within the classes (Marks and Tegmark 2023), shrunk
                  towards a multiple of the identity (Ledoit and Wolf 2004), for there are often fewer prompts than
                  coordinates
    probe         logistic regression on standardised coordinates

Of graded labels y_i:

    covariance    sum_i (y_i - mean y) x_i
    ridge         linear regression with an L2 penalty on standardised coordinates

The strengths of the penalties are chosen on folds of the groups: prompts of one group are never on both sides. Every
direction is given with length 1; what projections are compared with is left to whoever judges.

Shapes: P prompts, D model, r coordinates (`inputs.py`).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from causeway.engine.analyses.direction.inputs import Inputs
from causeway.engine.analyses.direction.logistic import logistic_fits
from causeway.engine.stats.splits import folds

STRENGTHS = tuple(10.0**power for power in range(-4, 3))
FOLDS = 4


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Representations with labels.

    Attributes:
        x: [P, D]. y: 0 and 1, or graded. groups: of each prompt. seed: of the folds.
    """

    x: Float[np.ndarray, "P D"]
    y: Float[np.ndarray, " P"]
    groups: Sequence[str]
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A direction of length 1 and what is told of its fit.

    Attributes:
        vector: [D]. about: JSON-ready.
    """

    vector: Float[np.ndarray, " D"]
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def difference(given: Labelled) -> Fitted:
    """Difference of means."""
    return _unit(_means_apart(given), {})


def mass_mean(given: Labelled) -> Fitted:
    """Difference of means in the metric of the shrunk covariance within the classes."""
    right = given.y > 0
    within = np.array(given.x, np.float64)
    for of in (right, ~right):
        within[of] -= within[of].mean(axis=0)
    rows, apart = Inputs.of(within, standardised=False), _means_apart(given)
    shrinkage, variances, floor = _shrunk(rows.z, within.shape[1])
    inside = rows.basis.T @ apart
    out = rows.basis @ (inside / variances) + (apart - rows.basis @ inside) / floor
    return _unit(out, {"shrinkage": shrinkage})


def probe(given: Labelled) -> Fitted:
    """Logistic regression; the strength is that of the least log loss on the folds left out."""
    rows = Inputs.of(given.x, standardised=True)

    def fits(counted: Float[np.ndarray, "J P"], strengths: Float[np.ndarray, " J"]) -> Float[np.ndarray, "J P"]:
        w, b = logistic_fits(rows.z, given.y, counted, strengths)
        return w @ rows.z.T + b[:, None]

    def loss(f: Float[np.ndarray, "J P"]) -> Float[np.ndarray, "J P"]:
        return np.logaddexp(0, f) - given.y * f

    strength = _chosen(given, (given.y > 0).astype(int), fits, loss)
    [w], [b] = logistic_fits(rows.z, given.y, np.ones((1, len(given.y))), [strength])
    vector = rows.direction(w)
    intercept = float(b - vector @ rows.mean)
    # In the units of projections on the direction of length 1: right where projection > -intercept.
    return _unit(vector, {"strength": strength, "intercept": intercept / float(np.linalg.norm(vector) or 1)})


def covariance(given: Labelled) -> Fitted:
    """Covariance with the labels."""
    return _unit((given.y - given.y.mean()) @ np.asarray(given.x, np.float64), {})


def ridge(given: Labelled) -> Fitted:
    """Linear regression; the strength is that of the least squared error on the folds left out."""
    rows = Inputs.of(given.x, standardised=True)

    def fits(counted: Float[np.ndarray, "J P"], strengths: Float[np.ndarray, " J"]) -> Float[np.ndarray, "J P"]:
        solved = [_ridge(rows.z, given.y, c, s) for c, s in zip(counted, strengths, strict=True)]
        return np.array([rows.z @ w + b for w, b in solved])

    strength = _chosen(given, np.zeros(len(given.y), int), fits, lambda f: np.square(f - given.y))
    w, _ = _ridge(rows.z, given.y, np.ones(len(given.y)), strength)
    return _unit(rows.direction(w), {"strength": strength})


METHODS: Mapping[str, Mapping[str, Callable[[Labelled], Fitted]]] = {
    "correct": {"difference": difference, "probe": probe, "mass_mean": mass_mean},
    "margin": {"covariance": covariance, "ridge": ridge},
}


def _means_apart(given: Labelled) -> Float[np.ndarray, " D"]:
    x, right = np.asarray(given.x, np.float64), given.y > 0
    return x[right].mean(axis=0) - x[~right].mean(axis=0)


def _unit(vector: Float[np.ndarray, " D"], about: Mapping[str, Any]) -> Fitted:
    """Of length 1.

    Raises:
        ValueError: the labels say nothing of the representations.
    """
    length = float(np.linalg.norm(vector))
    if not length > 0:
        raise ValueError("representations: equal for all labels, so no direction tells them apart")
    return Fitted(vector / length, about)


def _shrunk(z: Float[np.ndarray, "P r"], width: int) -> tuple[float, Float[np.ndarray, " r"], float]:
    """Ledoit and Wolf's share of the identity in all D coordinates, the shrunk variances along the principal
    coordinates, in which the covariance S is diagonal, and the one of all across them, where S is 0.

    share = min(1, noise / spread), spread = |S - m I|^2, noise = mean_i |x_i x_i' - S|^2 / P, m = tr S / D
    """
    count, variances = len(z), np.square(z).mean(axis=0)
    mean, size = variances.sum() / width, np.square(variances).sum()
    spread = size - width * mean**2
    noise = (np.square(np.square(z).sum(axis=1)).mean() - size) / count
    share = float(np.clip(noise / spread, 0.0, 1.0)) if spread > 0 else 1.0
    # Without a share nothing is across: the rows show all coordinates, or what they do not show is 0 in both means.
    return share, (1 - share) * variances + share * mean, share * mean or 1.0


def _ridge(
    z: Float[np.ndarray, "P r"], y: Float[np.ndarray, " P"], counted: Float[np.ndarray, " P"], strength: float
) -> tuple[Float[np.ndarray, " r"], float]:
    """Weights and intercept of the rows that are counted; the error is a mean, so the strength is of any number."""
    on = counted > 0
    mean, middle = z[on].mean(axis=0), y[on].mean()
    own = z[on] - mean
    gram = own.T @ own / on.sum() + strength * np.eye(z.shape[1])
    w = np.linalg.solve(gram, own.T @ (y[on] - middle) / on.sum())
    return w, float(middle - mean @ w)


def _chosen(
    given: Labelled,
    strata: np.ndarray,
    fits: Callable[[Float[np.ndarray, "J P"], Float[np.ndarray, " J"]], Float[np.ndarray, "J P"]],
    loss: Callable[[Float[np.ndarray, "J P"]], Float[np.ndarray, "J P"]],
) -> float:
    """The strength of the least mean loss on folds left out; of equals the strongest."""
    groups, first, which = np.unique(list(given.groups), return_index=True, return_inverse=True)
    fold = folds(groups.tolist(), FOLDS, strata[first].astype(str).tolist(), given.seed)[which]
    out = np.arange(FOLDS)[:, None] == fold
    counted = np.repeat(~out, len(STRENGTHS), axis=0).astype(np.float64)
    losses = loss(fits(counted, np.tile(STRENGTHS, FOLDS))).reshape(FOLDS, len(STRENGTHS), -1)
    means = np.where(out[:, None, :], losses, 0.0).sum(axis=(0, 2)) / len(given.y)
    return STRENGTHS[len(STRENGTHS) - 1 - int(np.argmin(means[::-1]))]
