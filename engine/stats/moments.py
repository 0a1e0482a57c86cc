"""Per-feature moments of a stream of activations, in one pass.

Batches are reduced to (count, mean, M2 = sum (x - mean)^2) and merged by Chan's parallel update, which does not cancel:

    n = n_a + n_b;  delta = mean_b - mean_a;  mean = mean_a + delta n_b / n;  M2 = M2_a + M2_b + delta^2 n_a n_b / n

Merging is commutative and associative up to float64 rounding, so batch size and order do not matter beyond about 1e-12
relative. A feature is active where its value is above zero.

Shapes: values [n, F]; every statistic [F] in float64. Cost: a few passes over the batch. Memory: 5 F float64.
"""

import dataclasses
from typing import Self

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean and variance of a stream of rows; `+` merges two streams.

    Attributes:
        count: rows seen.
        mean, m2: [F], or any shape: mean and sum of squared deviations, zeros included.
    """

    count: int
    mean: Float[np.ndarray, "*F"]
    m2: Float[np.ndarray, "*F"]

    def __add__(self, other: Self) -> "Spread":
        count = self.count + other.count
        if count == 0:
            return self
        delta = other.mean - self.mean
        return Spread(
            count,
            self.mean + delta * (other.count / count),
            self.m2 + other.m2 + np.square(delta) * (self.count * other.count / count),
        )

    @property
    def variance(self) -> Float[np.ndarray, "*F"]:
        """Variance with n - 1 in the denominator; NaN below two rows, exactly 0 for a constant."""
        if self.count < 2:
            return np.full_like(self.m2, np.nan)
        # The mean of a constant is off by an ulp or so; its deviations are rounding, and would give huge t values.
        rounding = self.count * np.square(1e-12 * self.mean)
        return np.where(self.m2 > rounding, self.m2, 0.0) / (self.count - 1)


@dataclasses.dataclass(frozen=True)
class Moments(Spread):
    """Sums of a stream of rows; `+` merges two streams.

    Attributes:
        active_count, active_sum: [F] rows above zero, and the sum of their values.
        maximum: [F]; -inf before the first row.
    """

    active_count: Float[np.ndarray, " F"]
    active_sum: Float[np.ndarray, " F"]
    maximum: Float[np.ndarray, " F"]

    @classmethod
    def empty(cls, features: int) -> "Moments":
        """Moments of no rows."""
        zero = np.zeros(features)
        return cls(0, zero, zero, zero, zero, np.full(features, -np.inf))

    @classmethod
    def of(cls, values: Float[np.ndarray, "n F"]) -> "Moments":
        """Moments of the rows of one batch.

        Raises:
            ValueError: a value is not finite.
        """
        x = np.asarray(values, dtype=np.float64)
        if not len(x):
            return cls.empty(x.shape[1])
        if not np.isfinite(x).all():
            bad = np.flatnonzero(~np.isfinite(x).all(axis=0))
            raise ValueError(f"activations: feature {bad[0]} is not finite ({len(bad)} in all); check the dtype")
        mean = x.mean(axis=0)
        active = x > 0
        return cls(
            len(x), mean, np.square(x - mean).sum(axis=0), active.sum(axis=0, dtype=np.float64),
            np.where(active, x, 0.0).sum(axis=0), x.max(axis=0),
        )  # fmt: skip

    def __add__(self, other: Self) -> "Moments":
        both = super().__add__(other)
        return Moments(
            both.count,
            both.mean,
            both.m2,
            self.active_count + other.active_count,
            self.active_sum + other.active_sum,
            np.maximum(self.maximum, other.maximum),
        )

    @property
    def active_fraction(self) -> Float[np.ndarray, " F"]:
        """Share of rows above zero; NaN without rows."""
        return self.active_count / self.count if self.count else np.full_like(self.mean, np.nan)

    @property
    def mean_active(self) -> Float[np.ndarray, " F"]:
        """Mean of the values above zero; NaN where there is none."""
        with np.errstate(invalid="ignore"):
            return self.active_sum / np.where(self.active_count > 0, self.active_count, np.nan)
