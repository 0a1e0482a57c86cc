"""Which features go with the answer over prompts: correlation of activation and logit difference, corrected.

A feature's activation x on a prompt is its largest one (or that at the last token). Over n prompts with differences y,

    correlation = corr(x, y)                                   as the circuit pipeline's document has it
    score = corr(x, z),    z_i = Phi^-1((rank y_i - 1/2) / n)
    t = score sqrt((n - 2) / (1 - score^2)),                   p from Student's t with n - 2 degrees

The test is of the score: with a feature active on a few prompts and differences of heavy tails, Student's t of the
plain correlation gives p below 1e-4 fifty times too often, and false discoveries by the dozen; normal scores are normal
whatever the differences are, and then it holds for any x.

With 20 prompts and 163,000 features the largest correlations are noise, so all tested features of all layers are one
family of tests (q), and features active on fewer than `min_active` prompts are not tested. Correlations that were
picked for their size are too large: of the features found (q at most `LEVEL`), prompts held out give another score,
with its interval (Fisher's z) and a q among those found alone. A correlation is no effect: `sweep` measures effects.

Sums are kept, not activations: 5 L F numbers in float64, whatever the prompts.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from causeway.engine.circuits.intervene import CleanRun
from causeway.engine.stats.multiple import Method, adjust

Reading = Literal["max", "last"]
READINGS: tuple[Reading, ...] = ("max", "last")
# q up to which a feature is found, and tested again on prompts held out.
LEVEL = 0.05
# Prompts without which a correlation has no test.
FEWEST = 3


def check_enough(count: int, found: str) -> None:
    """Refuse fewer prompts than a correlation needs; `found` says what there is.

    Raises:
        ValueError: fewer than `FEWEST`.
    """
    if count < FEWEST:
        raise ValueError(f"importance: {found}; a correlation needs {FEWEST} or more, and 100 to be of use")


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """One layer's features on prompts held out, all [F]: score with its interval, p and q; NaN where not found."""

    prompts: int
    score: Float[np.ndarray, " F"]
    low: Float[np.ndarray, " F"]
    high: Float[np.ndarray, " F"]
    p: Float[np.ndarray, " F"]
    q: Float[np.ndarray, " F"]


@dataclasses.dataclass(frozen=True)
class LayerImportance:
    """One layer's features, all [F]: correlation, score, p and q (NaN where not tested), mean activation.

    active: prompts on which each is active. held_out: of the features found, on other prompts; None without any.
    """

    layer: int
    prompts: int
    correlation: Float[np.ndarray, " F"]
    score: Float[np.ndarray, " F"]
    p: Float[np.ndarray, " F"]
    q: Float[np.ndarray, " F"]
    activation: Float[np.ndarray, " F"]
    active: Int[np.ndarray, " F"]
    held_out: HeldOut | None = None


class Importance:
    """Collects prompts, then tells.

    Args:
        layers: whose features are read. features: F. differences: of all prompts that will be added, in that order.
        reading: max over the prompt's tokens but the first, or last.

    Raises:
        ValueError: fewer than `FEWEST` prompts, or an unknown reading.
    """

    def __init__(self, layers: tuple[int, ...], features: int, differences: Sequence[float], reading: Reading = "max"):
        if reading not in READINGS:
            raise ValueError(f"reading: got {reading!r}; needs one of {', '.join(READINGS)}")
        check_enough(len(differences), f"{len(differences)} prompts")
        self.layers, self.reading, self.count = layers, reading, 0
        y = np.asarray(differences, np.float64)
        scores = stats.norm.ppf((stats.rankdata(y) - 0.5) / len(y))
        self.y = np.stack([y - y.mean(), scores - scores.mean()])
        shape = (len(layers), features)
        # Means and sums of squares about them, updated prompt by prompt: plain sums would cancel.
        self.mean, self.square, self.cross = np.zeros(shape), np.zeros(shape), np.zeros((2, *shape))
        self.active = np.zeros(shape, np.int64)

    def add(self, run: CleanRun) -> None:
        """The next prompt."""
        y, self.count = self.y[:, self.count], self.count + 1
        for row, layer in enumerate(self.layers):
            f = run.activations(layer)
            x = f[-1] if self.reading == "last" or len(f) == 1 else f[1:].max(axis=0)
            moved = x - self.mean[row]
            self.mean[row] += moved / self.count
            self.square[row] += moved * (x - self.mean[row])
            self.cross[:, row] += y[:, None] * x
            self.active[row] += x != 0

    def result(
        self, min_active: int = 5, correction: Method = "bh", held_out: "Importance | None" = None
    ) -> list[LayerImportance]:
        """A table for each layer.

        Args:
            held_out: the same features on other prompts, where what was found is estimated again.
        """
        r, score, p = self._tests(min_active)
        q = adjust(p, correction).q
        again = [None] * len(self.layers) if held_out is None else held_out._again(q <= LEVEL, correction)
        return [
            LayerImportance(layer, self.count, r[i], score[i], p[i], q[i], self.mean[i], self.active[i], again[i])
            for i, layer in enumerate(self.layers)
        ]

    def _again(self, found: Bool[np.ndarray, "L F"], correction: Method) -> list[HeldOut]:
        """Features that other prompts found."""
        _, score, p = (np.where(found, values, np.nan) for values in self._tests(1))
        reach = stats.norm.isf(0.025) / np.sqrt(self.count - 3) if self.count > 3 else np.nan
        with np.errstate(divide="ignore"):
            z = np.arctanh(score)
        columns = score, np.tanh(z - reach), np.tanh(z + reach), p, adjust(p, correction).q
        return [HeldOut(self.count, *(column[i] for column in columns)) for i in range(len(self.layers))]

    def _tests(self, min_active: int) -> tuple[Float[np.ndarray, "L F"], ...]:
        """Correlations, scores and p; NaN where not tested."""
        y_square = np.square(self.y).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            r, score = np.clip(self.cross / np.sqrt(self.square * y_square[:, None, None]), -1, 1)
            t = score * np.sqrt((self.count - 2) / (1 - score * score))
        # The mean of a constant is off by an ulp; what is left of its variance is rounding.
        varies = self.square > self.count * np.square(1e-7 * self.mean)
        tested = varies & (self.active >= min_active) & (y_square[0] > 0)
        p = np.where(tested, 2 * stats.t.sf(np.abs(t), self.count - 2), np.nan)
        return np.where(tested, r, np.nan), np.where(tested, score, np.nan), p
