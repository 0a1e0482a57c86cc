"""What trials of a prompt come back as, and the host arrays they are gathered in.

Records are [R, N, P, W]: step 0 is the last prompt token, step t the t-th new token as input; what lies beyond a
row's end is zero. Memory: all of it for R rows, so a sweep generates one unit at a time.

Shapes: R rows, N steps, P tapped layers, W width of a reading, E slots of an edit.
"""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.intervention.taps import Record
from causeway.engine.model.decode import Steps

# How many of each row's tokens are kept, asked of what is drawn so far; GOES_ON where the row is not over.
Ends = Callable[[Int[np.ndarray, "R n"]], Int[np.ndarray, " R"]]
GOES_ON = int(np.iinfo(np.int32).max)


@dataclasses.dataclass(frozen=True)
class Generation:
    """Trials of one prompt.

    Attributes:
        prompt_tokens: the ids the prompt was run as.
        tokens: [R, N] chosen ids, -1 after a row's end (a stop token is the last one kept).
        records: one a tap, values [R, N, P, W], valid [R, N].
        before: [R, N, E] of each edit, the value before it.
        after: [R, N, E], the value set.
        applied: [R, N, E], whether the edit acted at that step.
    """

    prompt_tokens: tuple[int, ...]
    tokens: Int[np.ndarray, "R N"]
    records: tuple[Record, ...]
    before: tuple[Float[np.ndarray, "R N E"], ...]
    after: tuple[Float[np.ndarray, "R N E"], ...]
    applied: tuple[Bool[np.ndarray, "R N E"], ...]

    def __repr__(self) -> str:
        rows, steps = self.tokens.shape
        taps = ", ".join(map(repr, self.records)) or "none"
        return f"Generation({len(self.prompt_tokens)} prompt tokens; {rows} rows of up to {steps} tokens; taps: {taps})"

    @property
    def lengths(self) -> Int[np.ndarray, " R"]:
        """Tokens drawn per row."""
        return (self.tokens >= 0).sum(axis=1)


class Rollouts:
    """Host arrays of R rows, filled segment by segment."""

    def __init__(self, count: int, steps: int):
        self.count, self.steps = count, steps
        self.tokens = np.full((count, steps), -1, np.int32)
        self.live = np.zeros((count, steps), bool)
        self.readings: list[list[np.ndarray]] = []
        self.reports: list[list[np.ndarray]] = []

    def keep_stripe(self, ids: list[np.ndarray], steps: Steps, drawn: int) -> None:
        """Copy a segment of one bucket on each device, come to the host."""
        for device, mine in enumerate(ids):
            self.keep(mine, drawn, jax.tree.map(lambda a, device=device: a[device], steps))

    def keep(self, ids: np.ndarray, drawn: int, steps: Steps) -> None:
        """Copy a bucket's segment to its rows."""
        if not len(ids):
            return
        span = slice(drawn, drawn + steps.tokens.shape[0])
        live = steps.live[:, : len(ids)].T
        self.tokens[ids, span], self.live[ids, span] = steps.tokens[:, : len(ids)].T, live
        if not self.readings and not self.reports:
            self._allocate(steps)
        for kept, layers in zip(self.readings, steps.readings, strict=True):
            for place, reading in enumerate(layers):
                for target, values in zip(kept, jax.tree.leaves(reading), strict=True):
                    _place(target[:, :, place], ids, span, values, live)
        for kept, report in zip(self.reports, steps.edits, strict=True):
            for target, values in zip(kept, (report.before, report.after, report.applied), strict=True):
                _place(target, ids, span, values, live)

    def cut(self, lengths: Int[np.ndarray, " R"]) -> None:
        """Drop what lies beyond each row's first so many tokens."""
        beyond = np.arange(self.steps) >= lengths[:, None]
        self.tokens[beyond], self.live[beyond] = -1, False
        for kept in (*self.readings, *self.reports):
            for target in kept:
                target[beyond] = 0

    def _allocate(self, steps: Steps) -> None:
        def rows(values: AnyArray, *layers: int) -> np.ndarray:
            return np.zeros((self.count, self.steps, *layers, *values.shape[2:]), values.dtype)

        self.readings = [[rows(a, len(layers)) for a in jax.tree.leaves(layers[0])] for layers in steps.readings]
        self.reports = [[rows(e.before), rows(e.after), rows(e.applied)] for e in steps.edits]

    def result(self, prompt: np.ndarray) -> Generation:
        """Everything that was kept."""
        before, after, applied = zip(*self.reports, strict=True) if self.reports else ((), (), ())
        records = tuple(Record(values, self.live, *ids) for values, *ids in self.readings)
        return Generation(tuple(prompt.tolist()), self.tokens, records, before, after, applied)


def _place(target: np.ndarray, ids: np.ndarray, span: slice, values: AnyArray, live: AnyArray) -> None:
    """Write values [S, B, ...] to rows `ids` of target [R, N, ...], leaving zeros where a row is over."""
    rows = np.moveaxis(np.asarray(values), 1, 0)[: len(ids)]
    if not live.all():
        rows = np.where(live.reshape(*live.shape, *[1] * (rows.ndim - 2)), rows, 0)
    # Row numbers that follow each other are a slice: one copy, not one a row.
    consecutive = ids[-1] - ids[0] == len(ids) - 1 and (np.diff(ids) == 1).all()
    target[slice(ids[0], ids[-1] + 1) if consecutive else ids, span] = rows
