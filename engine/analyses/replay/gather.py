"""From recordings to the numbers that are compared: one a prompt, trial, target and step, edited and plain.

    last_prompt   the value at the last prompt token, which depends on the prompt and the edit alone
    generated     its mean over the generated tokens at which both rollouts of a pair still write; no number where one
                  of them ends with its first token. The mean over a rollout's own length would mix up what a feature
                  does with how long the text is, which is an outcome of its own.

Edited and plain rows of a pair have the same trial, and so the same draws.

Shapes: P prompts, S trials, N steps, T targets. Memory: `MOST_BYTES`, whatever the number of sources: these are taken
in blocks, and in each block every prompt's plain rows are read once.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from causeway.engine.analyses.replay.columns import Columns, Values, read_values
from causeway.engine.analyses.replay.comparisons import Comparison
from causeway.engine.analyses.replay.recorded import Key, Recorded

LAST, GENERATED = "last_prompt", "generated"
STEPS = (LAST, GENERATED)
MOST_BYTES = 2**29
# Rows of a prompt read together.
READ_ROWS = 256


@dataclasses.dataclass(frozen=True)
class Readings:
    """What is compared, NaN where a pair has no such step.

    Attributes:
        edited, plain: [P, S, T]. unseen: [T], share of the readings taken for 0 that may not be.
    """

    edited: Float[np.ndarray, "P S T"]
    plain: Float[np.ndarray, "P S T"]
    unseen: Float[np.ndarray, " T"]

    @property
    def change(self) -> Float[np.ndarray, "P S T"]:
        """Edited minus plain."""
        return self.edited - self.plain


@dataclasses.dataclass(frozen=True)
class Source:
    """Where rows of a measure lie: edited ones in `edited`, plain ones there or, where they are not, in `clean`."""

    edited: Recorded
    clean: Recorded

    def plain(self, key: Key, prompt: int) -> tuple[Recorded, Int[np.ndarray, " n"]]:
        """The store and rows of a reference in a prompt."""
        own = self.edited.rows_of(*key, prompt)
        return (self.edited, own) if len(own) else (self.clean, self.clean.rows_of(*key, prompt))


def gathered(
    source: Source, compared: Sequence[Comparison], columns: Columns
) -> Iterator[tuple[Comparison, Mapping[str, Readings]]]:
    """Every comparison with its readings by step."""
    prompts, trials = len(source.clean.prompt_ids), source.clean.trials
    block = max(1, MOST_BYTES // (32 * prompts * trials * len(columns)))
    for start in range(0, len(compared), block):
        some = compared[start : start + block]
        yield from zip(some, _block(source, some, columns), strict=True)


def _block(source: Source, compared: Sequence[Comparison], columns: Columns) -> list[Mapping[str, Readings]]:
    shape = (len(source.clean.prompt_ids), source.clean.trials, len(columns))
    made = [{step: [np.full(shape, np.nan) for _ in range(2)] for step in STEPS} for _ in compared]
    unseen = np.zeros((len(compared), 2, len(columns)))
    read = np.zeros((len(compared), 2, 1))
    for at, prompt in enumerate(source.clean.prompt_ids.tolist()):
        plain = {key: _rows(*source.plain(key, prompt), columns) for key in {one.plain for one in compared}}
        for place, (one, edited) in enumerate(zip(compared, _edited(source, compared, prompt, columns), strict=True)):
            shared, mine, theirs = np.intersect1d(edited.trial, plain[one.plain].trial, return_indices=True)
            pair = _Pair(edited.take(mine), plain[one.plain].take(theirs))
            for number, step in enumerate(STEPS):
                for target, values in zip(made[place][step], pair.at(step), strict=True):
                    target[at, shared] = values
                counted = pair.unseen(step)
                unseen[place, number] += counted[0]
                read[place, number] += counted[1]
    with np.errstate(invalid="ignore"):
        share = np.nan_to_num(unseen / read)
    return [
        {step: Readings(made[k][step][0], made[k][step][1], share[k, n]) for n, step in enumerate(STEPS)}
        for k in range(len(compared))
    ]


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Some rows of one prompt: trials [n], steps they have [n, N], values [n, N, T]."""

    trial: Int[np.ndarray, " n"]
    valid: Bool[np.ndarray, "n N"]
    read: Values

    def take(self, rows: Int[np.ndarray, " m"] | slice) -> "_Rows":
        unseen = None if self.read.unseen is None else self.read.unseen[rows]
        return _Rows(self.trial[rows], self.valid[rows], Values(self.read.values[rows], unseen))


def _edited(source: Source, compared: Sequence[Comparison], prompt: int, columns: Columns) -> Iterator[_Rows]:
    """The edited rows of each comparison in a prompt, read many at a time: a read takes longer than a row."""
    several = max(1, READ_ROWS // source.clean.trials)
    for start in range(0, len(compared), several):
        parts = [source.edited.rows_of(*one.edited, prompt) for one in compared[start : start + several]]
        read, ends = _rows(source.edited, np.concatenate(parts), columns), np.cumsum([0, *map(len, parts)])
        yield from (read.take(slice(*span)) for span in itertools.pairwise(ends.tolist()))


def _rows(recorded: Recorded, rows: Int[np.ndarray, " n"], columns: Columns) -> _Rows:
    return _Rows(recorded.trial[rows], recorded.valid(rows), read_values(recorded, rows, columns))


@dataclasses.dataclass(frozen=True)
class _Pair:
    """Edited and plain rows of the same trials."""

    edited: _Rows
    plain: _Rows

    def steps(self, step: str) -> Bool[np.ndarray, "n N"]:
        """The steps that are meant and that both have."""
        both = self.edited.valid & self.plain.valid
        both[:, (0 if step == GENERATED else slice(1, None))] = False
        return both

    def at(self, step: str) -> tuple[Float[np.ndarray, "n T"], Float[np.ndarray, "n T"]]:
        """Mean values over these steps."""
        both = self.steps(step)
        count = both.sum(axis=1)[:, None]
        with np.errstate(invalid="ignore"):
            edited, plain = (
                np.where(both[:, :, None], rows.read.values, 0.0).sum(axis=1, dtype=np.float64) / count
                for rows in (self.edited, self.plain)
            )
        return edited, plain

    def unseen(self, step: str) -> tuple[Float[np.ndarray, " T"], float]:
        """How many readings may not be 0, and of how many."""
        both = self.steps(step)
        total = 2.0 * both.sum()
        if self.edited.read.unseen is None or self.plain.read.unseen is None:
            return np.zeros(self.edited.read.values.shape[-1]), total
        either = self.edited.read.unseen.astype(np.int64) + self.plain.read.unseen
        return np.einsum("ns,nst->t", both.astype(np.int64), either).astype(np.float64), total
