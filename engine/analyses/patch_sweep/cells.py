"""The trials table as dense cells: sums over trials for each (feature, arm, prompt).

Rows come in any order and in batches; only sums are kept, so memory does not grow with the number of trials:

    total[f, a, p] = sum over trials of the outcome,    count[f, a, p] = trials that have it

Columns read: prompt_id, group, layer, feature, arm, and the outcome's. Exact tables carry a probability a label
(p_stop, p_bet), p_other for what is none of the answers, and expected_amount; sampled ones carry action (stop, bet,
invalid, ...) and amount, which become the same outcome names: p_<action> is the share of *all* trials, invalid ones
(that could not be read) included, and expected_amount is the mean over trials with a readable answer, a stop counting
0. Exact tables have one outcome more, for prompts on which the answers hold little of the probability:

    log_odds = log P(first label) - log P(second label)        nats; of one label alone log P - log (1 - P)

An expected amount of 0 in all rows of an exact table is that of answers without amounts, and no outcome.

A cell that is empty is filled from the row that stands for every feature (`trial_axes`), if there is one.

Shapes: F (layer, feature) pairs, A arms, P prompts. Memory: 16 F A P bytes an outcome (8 more for sampled amounts);
10,000 x 12 x 50 is 96 MB. Time: about 1 s a million rows.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from jaxtyping import Float, Int

from causeway.engine.analyses.patch_sweep.trial_axes import COLUMNS, EVERY, TrialAxes, text

AMOUNT, LOG_ODDS = "expected_amount", "log_odds"
INVALID = "invalid"
# Of exact tables: the probability of what is none of the answers.
OTHER = "p_other"
# What an action is worth when it names no amount; a bet without a readable amount is left out instead.
ACTIONS_WITHOUT_AMOUNT = ("stop",)
# One batch of rows -> the outcome of each row, NaN where the row has none.
Extractor = Callable[[pa.RecordBatch], Float[np.ndarray, " rows"]]


@dataclasses.dataclass(frozen=True)
class Cells:
    """Sums over trials of one outcome.

    Attributes:
        count: [..., P] trials. total: [..., P] sum. square: [..., P] sum of squares, or None where nothing asks for it.
    """

    count: Float[np.ndarray, "*axes P"]
    total: Float[np.ndarray, "*axes P"]
    square: Float[np.ndarray, "*axes P"] | None = None

    def at(self, index: Any) -> "Cells":
        """The cells of one index or slice of the axes."""
        return Cells(self.count[index], self.total[index], None if self.square is None else self.square[index])

    def filled_from(self, other: "Cells") -> "Cells":
        """These cells, and the other's where these have no trials."""
        empty = self.count == 0
        return Cells(*(np.where(empty, b, a) for a, b in zip(self.arrays, other.arrays, strict=True)))

    def reshape(self, shape: tuple[int, ...]) -> "Cells":
        """The same cells over other axes."""
        return Cells(*(a.reshape(shape) for a in self.arrays))

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The arrays that are there."""
        return (self.count, self.total) if self.square is None else (self.count, self.total, self.square)

    @property
    def mean(self) -> Float[np.ndarray, "*axes P"]:
        """Mean over trials; NaN without trials."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.total / self.count

    @property
    def variance(self) -> Float[np.ndarray, "*axes P"]:
        """Variance over trials, n - 1 in the denominator. Only for outcomes with `square`."""
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.asarray(self.square) - np.square(self.total) / self.count
            return np.where(spread > 1e-12 * np.asarray(self.square), spread, 0.0) / (self.count - 1)


@dataclasses.dataclass(frozen=True)
class TrialCells:
    """All outcomes of a trials table over its axes.

    Attributes:
        layer, feature: [F] the pairs, sorted. arms: names, sorted. prompt_ids: [P], sorted. group_of: [P] names.
        outcomes: name -> Cells over [F, A, P].
        sampled: whether rows are sampled trials (and not exact probabilities).
        log_odds: what that outcome is, "" where there is none.
    """

    layer: Int[np.ndarray, " F"]
    feature: Int[np.ndarray, " F"]
    arms: tuple[str, ...]
    prompt_ids: Int[np.ndarray, " P"]
    group_of: np.ndarray
    outcomes: Mapping[str, Cells]
    sampled: bool
    log_odds: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the contexts, sorted."""
        return tuple(str(g) for g in np.unique(self.group_of))

    def arm(self, outcome: str, arm: str) -> Cells:
        """Cells [F, P] of one outcome under one arm."""
        return self.outcomes[outcome].at((slice(None), self.arms.index(arm)))


def read_trials(
    source: pa.Table | pyarrow.dataset.Dataset, *, extractors: Mapping[str, Extractor] | None = None
) -> TrialCells:
    """Sums a trials table into cells, in two passes over its batches.

    Args:
        source: a table, or a dataset of Parquet files too large to hold.
        extractors: outcomes to read; by default those the columns name (sampled if there is a column `action`).

    Raises:
        ValueError: a missing column, an empty table, a prompt in two groups, or no outcome.
    """
    dataset = source if isinstance(source, pyarrow.dataset.Dataset) else pyarrow.dataset.dataset(source)
    names = dataset.schema.names
    missing = [c for c in COLUMNS if c not in names]
    if missing:
        raise ValueError(f"trials: lacks the columns {missing}; needs {COLUMNS} and outcomes")
    sampled = "action" in names
    if sampled and any(name.startswith("p_") for name in names):
        raise ValueError("trials: has both action and p_<label> columns; pass exact and sampled trials as two tables")
    wanted = extractors if extractors is not None else _extractors(dataset, sampled)
    if not wanted:
        raise ValueError(f"trials: no outcome among the columns {names}; needs p_<label>, {AMOUNT} or action")
    axes = TrialAxes.of(dataset)
    sums = _sums(dataset, axes, wanted, {AMOUNT} if sampled else set())
    if not sampled and AMOUNT in sums and not sums[AMOUNT].total.any() and len(sums) > 1:
        del sums[AMOUNT]
    outcomes = {name: _shared(cells, axes) for name, cells in sums.items()}
    layer, feature = axes.pairs[: axes.kept].T
    log_odds = "" if sampled else log_odds_of(names)
    return TrialCells(layer, feature, axes.arms, axes.prompt_ids, axes.group_of, outcomes, sampled, log_odds)


def action_is(action: str) -> Extractor:
    """1 where the parsed action is this one, 0 elsewhere: invalid trials count as not being it."""
    return lambda batch: _numbers(pc.equal(text(batch["action"]), action))


def amount_above(threshold: float) -> Extractor:
    """1 where an amount above the threshold was named, 0 elsewhere."""
    return lambda batch: (_numbers(batch["amount"]) > threshold).astype(np.float64)


def amount(batch: pa.RecordBatch) -> Float[np.ndarray, " rows"]:
    """The amount named: 0 for a stop, NaN where the answer could not be read."""
    value = _numbers(batch["amount"])
    none = pc.is_in(text(batch["action"]), value_set=pa.array(ACTIONS_WITHOUT_AMOUNT)).to_numpy(zero_copy_only=False)
    unread = pc.equal(text(batch["action"]), INVALID).to_numpy(zero_copy_only=False)
    return np.where(unread, np.nan, np.where(none, 0.0, value))


def _numbers(column: pa.Array) -> Float[np.ndarray, " rows"]:
    """Float64, null as NaN."""
    return pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)


def _column(name: str) -> Extractor:
    return lambda batch: _numbers(batch[name])


def label_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Columns of an exact table that hold an answer's probability, in order."""
    return tuple(name for name in names if name.startswith("p_") and name not in (OTHER, f"p_{INVALID}"))


def log_odds_of(names: Sequence[str]) -> str:
    """What log_odds is in a table of these columns; "" where it has none."""
    labels = label_columns(names)
    if not labels:
        return ""
    return f"log {labels[0]} - log {labels[1] if len(labels) > 1 else f'(1 - {labels[0]})'}, nats"


def _log_odds(names: Sequence[str]) -> Extractor:
    first, *others = label_columns(names)

    def read(batch: pa.RecordBatch) -> Float[np.ndarray, " rows"]:
        p = _numbers(batch[first])
        q = _numbers(batch[others[0]]) if others else 1 - p
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(p) - np.log(q)

    return read


def _extractors(dataset: pyarrow.dataset.Dataset, sampled: bool) -> dict[str, Extractor]:
    names = dataset.schema.names
    if not sampled:
        found = {name: _column(name) for name in sorted(names) if name.startswith("p_") or name == AMOUNT}
        return found | ({LOG_ODDS: _log_odds(names)} if label_columns(names) else {})
    actions: set[str] = {INVALID}
    for batch in dataset.to_batches(columns=["action"]):
        actions |= set(pc.unique(text(batch["action"])).drop_null().to_pylist())
    found = {f"p_{action}": action_is(action) for action in sorted(actions)}
    return found | ({AMOUNT: amount} if "amount" in names else {})


def _sums(
    dataset: pyarrow.dataset.Dataset, axes: TrialAxes, wanted: Mapping[str, Extractor], squared: set[str]
) -> dict[str, Cells]:
    """Cells over all pairs, shared ones included."""
    size = int(np.prod(axes.shape))
    sums = {n: Cells(np.zeros(size), np.zeros(size), np.zeros(size) if n in squared else None) for n in wanted}
    # Responses and other long columns of a sampled table are left on disk.
    columns = [n for n in dataset.schema.names if n in (*COLUMNS, "action", "amount") or n in wanted]
    for batch in dataset.to_batches(columns=columns):
        index = axes.index(batch)
        for name, read in wanted.items():
            value = np.asarray(read(batch), dtype=np.float64)
            known = np.isfinite(value)
            _add(sums[name], index[known], value[known])
    return {name: cells.reshape(axes.shape) for name, cells in sums.items()}


def _add(cells: Cells, index: Int[np.ndarray, " rows"], value: Float[np.ndarray, " rows"]) -> None:
    np.add.at(cells.count, index, 1.0)
    np.add.at(cells.total, index, value)
    if cells.square is not None:
        np.add.at(cells.square, index, np.square(value))


def _shared(cells: Cells, axes: TrialAxes) -> Cells:
    """Drops the pairs that stand for every feature, after filling the empty cells they stand for."""
    kept = cells.at(slice(0, axes.kept))
    # A layer's own shared row goes before that of all layers: (-1, -1) sorts first and is taken last.
    for row in range(axes.kept, len(axes.pairs))[::-1]:
        layer, source = axes.pairs[row, 0], cells.at(row)
        here = (layer == EVERY) | (axes.pairs[: axes.kept, 0] == layer)
        for arm in np.flatnonzero(source.count.any(axis=1)):
            empty = here[:, None] & (kept.count[:, arm] == 0)
            for target, filler in zip(kept.arrays, source.arrays, strict=True):
                target[:, arm] = np.where(empty, filler[arm], target[:, arm])
    return kept
