"""Quantiles of the active values of each feature, from a stream, by a sparse histogram with logarithmic bins.

A value v > 0 falls into bin floor(r (log2 v + 32)), r = `BINS_PER_OCTAVE`. A quantile is answered with the geometric
middle of the bin that holds the order statistic ceil(q n), so it is off by a factor of at most

    2^(1 / (2 r)) = 1.0219        (2.2 %)

from that order statistic (numpy's method "inverted_cdf"), whatever the scale of the feature, for values in
[2^-32, 2^32]; values outside fall in the first or last bin. Counts are integers, so order and batching change nothing.

Shapes: values [n, F]. Memory: 8 bytes for each (feature, bin) ever met, since features that never fire and scales that
never occur take none (a dense table of 32,768 features would be half a gigabyte).
"""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy import sparse

BINS_PER_OCTAVE = 16
LOWEST_OCTAVE, OCTAVES = -32, 64
BINS = BINS_PER_OCTAVE * OCTAVES
RELATIVE_ERROR = 2.0 ** (1 / (2 * BINS_PER_OCTAVE)) - 1


@dataclasses.dataclass(frozen=True)
class LogHistogram:
    """Counts of active values; `+` merges two streams.

    Attributes:
        counts: sparse int32 [F, BINS].
    """

    counts: sparse.csr_array

    @classmethod
    def empty(cls, features: int) -> "LogHistogram":
        """Counts of no values."""
        return cls(sparse.csr_array((features, BINS), dtype=np.int32))

    @classmethod
    def of(cls, values: Float[np.ndarray, "n F"]) -> "LogHistogram":
        """Counts of the values above zero of one batch."""
        x = np.asarray(values)
        row, feature = np.nonzero(x > 0)
        octave = np.log2(x[row, feature].astype(np.float64)) - LOWEST_OCTAVE
        bins = np.clip(np.floor(octave * BINS_PER_OCTAVE), 0, BINS - 1).astype(np.int32)
        ones = np.ones(len(bins), dtype=np.int32)
        return cls(sparse.coo_array((ones, (feature.astype(np.int32), bins)), shape=(x.shape[1], BINS)).tocsr())

    def __add__(self, other: "LogHistogram") -> "LogHistogram":
        return LogHistogram(self.counts + other.counts)

    def quantile(self, q: float) -> Float[np.ndarray, " F"]:
        """The q-th quantile of each feature's active values; NaN where it never was active.

        Raises:
            ValueError: q outside (0, 1].
        """
        if not 0 < q <= 1:
            raise ValueError(f"quantile: got {q}; needs 0 < q <= 1")
        counts = self.counts
        counts.sort_indices()
        running = np.concatenate([[0], np.cumsum(counts.data, dtype=np.int64)])
        before = running[counts.indptr[:-1]]
        total = running[counts.indptr[1:]] - before
        # All rows in one search: the running sum over the whole table rises, and each row's target lies in its row.
        rank = np.maximum(np.ceil(q * total - 1e-9), 1).astype(np.int64)
        active = total > 0
        where = np.searchsorted(running, (before + rank)[active], side="left") - 1
        out = np.full(len(total), np.nan)
        out[active] = 2.0 ** ((counts.indices[where] + 0.5) / BINS_PER_OCTAVE + LOWEST_OCTAVE)
        return out
