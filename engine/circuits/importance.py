"""Which features go with the answer over prompts: correlation of activation and logit difference, corrected.

A feature's activation on a prompt is its largest one (or that at the last token). Over n prompts with differences y,

    r = cov(x, y) / (sd(x) sd(y)),    t = r sqrt((n - 2) / (1 - r^2)),    p from Student's t with n - 2 degrees

With 20 prompts and 163,000 features the largest correlations are noise, so all tested features of all layers are one
family of tests (q), and features active on fewer than `min_active` prompts are not tested. A correlation is no
effect: `sweep` measures effects.

Sums are kept, not activations: 4 L F numbers in float64, whatever the prompts.
"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from causeway.engine.circuits.intervene import CleanRun
from causeway.engine.stats.multiple import Method, adjust

Reading = Literal["max", "last"]
READINGS: tuple[Reading, ...] = ("max", "last")


@dataclasses.dataclass(frozen=True)
class LayerImportance:
    """One layer's features, all [F]: correlation, p and q (NaN where not tested), mean activation, prompts active."""

    layer: int
    prompts: int
    correlation: Float[np.ndarray, " F"]
    p: Float[np.ndarray, " F"]
    q: Float[np.ndarray, " F"]
    activation: Float[np.ndarray, " F"]
    active: Int[np.ndarray, " F"]


class Importance:
    """Collects prompts, then tells.

    Args:
        layers: whose features are read. features: F. reading: max over the prompt's tokens but the first, or last.
    """

    def __init__(self, layers: tuple[int, ...], features: int, reading: Reading = "max"):
        if reading not in READINGS:
            raise ValueError(f"reading: got {reading!r}; needs one of {', '.join(READINGS)}")
        self.layers, self.reading, self.count = layers, reading, 0
        shape = (len(layers), features)
        # Means and sums of squares about them, updated prompt by prompt: plain sums would cancel.
        self.mean, self.square, self.cross = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.active, self.y_mean, self.y_square = np.zeros(shape, np.int64), 0.0, 0.0

    def add(self, run: CleanRun, difference: float) -> None:
        """One prompt and its logit difference."""
        self.count += 1
        before = difference - self.y_mean
        self.y_mean += before / self.count
        after = difference - self.y_mean
        self.y_square += before * after
        for row, layer in enumerate(self.layers):
            f = run.activations(layer)
            x = f[-1] if self.reading == "last" or len(f) == 1 else f[1:].max(axis=0)
            moved = x - self.mean[row]
            self.mean[row] += moved / self.count
            self.square[row] += moved * (x - self.mean[row])
            self.cross[row] += moved * after
            self.active[row] += x != 0

    def result(self, min_active: int = 5, correction: Method = "bh") -> list[LayerImportance]:
        """A table for each layer.

        Raises:
            ValueError: fewer than 3 prompts.
        """
        if self.count < 3:
            raise ValueError(f"importance: {self.count} prompts; a correlation needs 3 or more, and 100 to be of use")
        with np.errstate(divide="ignore", invalid="ignore"):
            r = np.clip(self.cross / np.sqrt(self.square * self.y_square), -1, 1)
            t = r * np.sqrt((self.count - 2) / (1 - r * r))
        # The mean of a constant is off by an ulp; what is left of its variance is rounding.
        varies = self.square > self.count * np.square(1e-7 * self.mean)
        tested = varies & (self.active >= min_active) & (self.y_square > 0)
        p = np.where(tested, 2 * stats.t.sf(np.abs(t), self.count - 2), np.nan)
        q = adjust(p, correction).q
        r = np.where(tested, r, np.nan)
        rows = zip(self.layers, r, p, q, self.mean, self.active, strict=True)
        return [LayerImportance(layer, self.count, *row) for layer, *row in rows]
