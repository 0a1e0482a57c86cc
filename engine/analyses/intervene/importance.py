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
with its interval (Fisher's z) and a q among those found alone. That score takes normal scores of the activations too:
of activations with heavy tails Fisher's interval holds the score in 80 of 100 cases, of their ranks in 94 to 97 (more
for features active on few prompts). A correlation is no effect: `sweep` measures effects.

Sums are kept, not activations: 5 L F numbers in float64, whatever the prompts. Prompts held out keep the activations
that are not 0.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse, stats

from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.fit import fitted
from causeway.engine.dictionary.placement import Holder
from causeway.engine.model.handle import Model
from causeway.engine.reading.passes import ReadRow, all_places, one_place
from causeway.engine.reading.read import read
from causeway.engine.reading.reductions import AnswerLogProbabilities, Last, Max, Reduction
from causeway.engine.stats.multiple import Method, adjust

READINGS: dict[str, Reduction] = {"max": Max(), "last": Last()}
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
    """Collects the activations of all prompts at all layers, then tells.

    Args:
        layers: whose features are read.
        features: F.
        differences: of all prompts.
        keep: keep the activations, so that these prompts can estimate what others find.

    Raises:
        ValueError: fewer than `FEWEST` prompts.
    """

    def __init__(
        self,
        layers: tuple[int, ...],
        features: int,
        differences: Sequence[float],
        *,
        keep: bool = False,
    ):
        check_enough(len(differences), f"{len(differences)} prompts")
        self.layers, self.count = layers, len(differences)
        self.added = np.zeros(len(layers), np.int64)
        y = np.asarray(differences, np.float64)
        self.y = np.stack([y - y.mean(), _normal_scores(y)])
        shape = (len(layers), features)
        # Means and sums of squares about them, updated prompt by prompt: plain sums would cancel.
        self.mean, self.square, self.cross = np.zeros(shape), np.zeros(shape), np.zeros((2, *shape))
        self.active = np.zeros(shape, np.int64)
        self.kept: list[dict[int, sparse.csr_array]] | None = [{} for _ in layers] if keep else None

    def add(self, layer: int, prompts: Int[np.ndarray, " n"], values: Float[np.ndarray, "n F"]) -> None:
        """A layer's activations of some prompts, by their numbers among the differences."""
        row = self.layers.index(layer)
        for prompt, x in zip(prompts.tolist(), values, strict=True):
            self.added[row] += 1
            moved = x - self.mean[row]
            self.mean[row] += moved / self.added[row]
            self.square[row] += moved * (x - self.mean[row])
            self.cross[:, row] += self.y[:, prompt, None] * x
            self.active[row] += x != 0
            if self.kept is not None:
                self.kept[row][prompt] = sparse.csr_array(x[None])

    def result(
        self, min_active: int = 5, correction: Method = "bh", held_out: "Importance | None" = None
    ) -> list[LayerImportance]:
        """A table for each layer.

        Args:
            held_out: the same features on other prompts, where what was found is estimated again.
        """
        r, score, p = self._tests(min_active)
        q = adjust(p, correction).q
        again = [None] * len(self.layers) if held_out is None else held_out._again(q <= LEVEL, min_active, correction)
        return [
            LayerImportance(layer, self.count, r[i], score[i], p[i], q[i], self.mean[i], self.active[i], again[i])
            for i, layer in enumerate(self.layers)
        ]

    def _again(self, found: Bool[np.ndarray, "L F"], min_active: int, correction: Method) -> list[HeldOut]:
        """Features that other prompts found."""
        if self.kept is None:
            raise ValueError("held_out: its activations were not kept; make it with keep=True")
        score = np.full(found.shape, np.nan)
        for row, rows in enumerate(self.kept):
            chosen = np.flatnonzero(found[row] & (self.active[row] >= min_active))
            if chosen.size:
                together = sparse.vstack([rows[prompt] for prompt in range(self.count)], format="csc")
                score[row, chosen] = self._ranked(together[:, chosen].toarray())
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = stats.norm.isf(0.025) / np.sqrt(self.count - 3) if self.count > 3 else np.nan
            z, p = np.arctanh(score), self._p(score)
        columns = score, np.tanh(z - reach), np.tanh(z + reach), p, adjust(p, correction).q
        return [HeldOut(self.count, *(column[i] for column in columns)) for i in range(len(self.layers))]

    def _ranked(self, x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
        """Correlations of the activations' normal scores with those of the differences; NaN where one is constant."""
        x = _normal_scores(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = np.square(x).sum(axis=0) * np.square(self.y[1]).sum()
            return np.clip(self.y[1] @ x / np.sqrt(np.where(sizes > 0, sizes, np.nan)), -1, 1)

    def _p(self, score: Float[np.ndarray, "L F"]) -> Float[np.ndarray, "L F"]:
        """Student's t with n - 2 degrees."""
        t = score * np.sqrt((self.count - 2) / (1 - score * score))
        return 2 * stats.t.sf(np.abs(t), self.count - 2)

    def _tests(self, min_active: int) -> tuple[Float[np.ndarray, "L F"], ...]:
        """Correlations, scores and p; NaN where not tested."""
        y_square = np.square(self.y).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            r, score = np.clip(self.cross / np.sqrt(self.square * y_square[:, None, None]), -1, 1)
            p = self._p(score)
        # The mean of a constant is off by an ulp; what is left of its variance is rounding.
        varies = self.square > self.count * np.square(1e-7 * self.mean)
        tested = varies & (self.active >= min_active) & (y_square[0] > 0)
        return tuple(np.where(tested, column, np.nan) for column in (r, score, p))


def read_importance(
    model: Model,
    transcoders: Holder,
    prompts: Sequence[tuple[Sequence[int], tuple[int, int]]],
    reading: str = "max",
    parallel: RowParallel | None = None,
    keep: bool = False,
) -> Importance:
    """`Importance` of prompts with their logit differences: what all features are on each, and what it answers.

    Args:
        model, transcoders: whose features.
        prompts: token ids, and the correct and the incorrect answer's token.
        reading: a feature's activation on a prompt: max over its tokens but the first, or last.
        parallel: devices the prompts are spread over (default: those of the weights).
        keep: see `Importance`.

    Raises:
        ValueError: an unknown reading, fewer than `FEWEST` prompts, or transcoders that do not fit the model.
    """
    if reading not in READINGS:
        raise ValueError(f"reading: got {reading!r}; needs one of {', '.join(READINGS)}")
    transcoders = fitted(transcoders, model.config, model.name)
    layers, last = tuple(sorted(transcoders.config.layers)), reading == "last"
    found = Importance(layers, transcoders.num_features, _differences(model, prompts, parallel), keep=keep)
    # The first token is like no other, and counts only where it is all there is.
    rows = [ReadRow(ids, range(len(ids))[-1:] if last or len(ids) == 1 else range(1, len(ids))) for ids, _ in prompts]
    parts = read(
        model.transformer, rows, (transcoders.config.stream,), transcoders, READINGS[reading], parallel=parallel,
        slots=one_place if last else all_places,
    )  # fmt: skip
    for part in parts:
        found.add(part.layer, part.rows, part.values["values"])
    return found


def _differences(
    model: Model, prompts: Sequence[tuple[Sequence[int], tuple[int, int]]], parallel: RowParallel | None
) -> list[float]:
    """Logit of the correct answer less that of the incorrect one, at each prompt's last token."""
    rows = [ReadRow(ids, [len(ids) - 1] * 2, answers) for ids, answers in prompts]
    parts = read(
        model.transformer, rows, ("final_norm",), None, AnswerLogProbabilities(), layers=(model.config.num_layers,),
        parallel=parallel, slots=lambda count, width: 2,
    )  # fmt: skip
    found = {row: pair for part in parts for row, pair in zip(part.rows, part.values["values"], strict=True)}
    return [float(found[row][0]) - float(found[row][1]) for row in range(len(prompts))]


def _normal_scores(values: Float[np.ndarray, " n *k"]) -> Float[np.ndarray, " n *k"]:
    """Quantiles of a normal at the values' ranks, about their mean; equal values have one rank."""
    scores = stats.norm.ppf((stats.rankdata(values, axis=0) - 0.5) / len(values))
    return scores - scores.mean(axis=0)
