"""A loaded model as a player: all prompts of a round in one batch, each answer drawn from the model.

The prompts of a round differ, but share their first token. So they are rows of one generation whose prompt is that
token; the rest of each row's prompt is forced, and from its end on the row draws. The noise of a draw is a function
of (seed, round, game, step), the widths of (row's prompt length, settings): an answer does not depend, to the bit, on
which other games are still going on.

Cost: one decoded token a row for each token of its prompt and answer, in buckets of `rows`; one or a few
compiled programs for each prompt bucket met.
"""

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from causeway.engine import scalars
from causeway.engine.devices import RowParallel, local_parallel
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.generate import generate_rows
from causeway.engine.model.handle import Model
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout, segment_lengths
from causeway.engine.model.transformer import Transformer

SHORT_ANSWER = 16


@dataclasses.dataclass(frozen=True)
class ModelPlayer:
    """Answers drawn from a model.

    Attributes:
        model: with a tokenizer. sampling: how tokens are drawn; stop tokens end an answer and are no part of it.
        seed: of the draws. max_new_tokens: of an answer. rows: bucket of rows, per device; part of what fixes the bits.
        parallel: devices the rows are spread over (default: one).
    """

    model: Model
    sampling: Sampling
    seed: int
    max_new_tokens: int = 16
    rows: int = 32
    parallel: RowParallel | None = None

    def __post_init__(self):
        if self.model.tokenizer is None:
            raise ValueError(
                f"player: {self.model.name} has no tokenizer, and games are played in text; give one that has"
            )
        scalars.integer(self.max_new_tokens, "max_new_tokens", 1)
        scalars.seed(self.seed)

    def __call__(self, games: Sequence[int], round_number: int, prompts: Sequence[str]) -> list[str]:
        """One answer for each prompt.

        Raises:
            ValueError: a prompt and its answer are longer than the context.
        """
        tokens = [self._tokens(prompt, game, round_number) for game, prompt in zip(games, prompts, strict=True)]
        together: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row, ids in enumerate(tokens):
            together[bucket_width(len(ids)), ids[0]].append(row)
        answers = [""] * len(prompts)
        for (width, _), rows in sorted(together.items()):
            drawn = self._draw([tokens[row] for row in rows], [games[row] for row in rows], round_number, width)
            for row, new in zip(rows, drawn, strict=True):
                answers[row] = self.model.text_behind(tokens[row], new)
        return answers

    def _tokens(self, prompt: str, game: int, round_number: int) -> list[int]:
        try:
            ids = self.model.tokens(prompt)
        except ValueError as error:
            raise ValueError(f"game {game}, round {round_number}: {error}") from None
        longest = self.model.config.max_position - self.max_new_tokens + 1
        if len(ids) > longest:
            raise ValueError(
                f"game {game}, round {round_number}: a prompt of {len(ids)} tokens and {self.max_new_tokens} new ones, "
                f"but the context of {self.model.name} is {self.model.config.max_position}; play fewer rounds or draw "
                "fewer tokens"
            )
        return ids

    @functools.cached_property
    def _devices(self) -> RowParallel:
        return self.parallel or local_parallel(1)

    @functools.cached_property
    def _placed(self) -> Transformer:
        """The weights on every device, copied once and not with every turn."""
        return self._devices.replicate(self.model.transformer)

    def _draw(
        self, tokens: Sequence[Sequence[int]], games: Sequence[int], round_number: int, width: int
    ) -> list[list[int]]:
        """New tokens of prompts of one bucket that begin with the same token."""
        layout = Layout(self.rows, self._segments(width))
        forced = np.full((len(tokens), layout.max_new_tokens), -1, np.int32)
        for row, ids in enumerate(tokens):
            forced[row, : len(ids) - 1] = ids[1:]
        try:
            generation = generate_rows(
                self._placed, tokens[0][:1], trials=np.asarray(games), layout=layout, sampling=self.sampling,
                seed=self.seed, prompt_id=round_number, forced=forced, parallel=self._devices,
            )  # fmt: skip
        except NotFiniteError as error:
            raise error.of(f"game {games[error.row]}, round {round_number}") from None
        starts = [len(ids) - 1 for ids in tokens]
        new = [row[start : start + self.max_new_tokens] for row, start in zip(generation.tokens, starts, strict=True)]
        ends = (-1, *self.sampling.stop_tokens)
        return [[int(i) for i in row if i not in ends] for row in new]

    def _segments(self, width: int) -> tuple[int, ...]:
        """The bucket's prompt tokens with the first new ones, then the others; within the context all the same.

        Most answers are short: one segment then, and one compiled program a bucket.
        """
        steps = min(width - 1 + self.max_new_tokens, self.model.config.max_position)
        first = min(width - 1 + SHORT_ANSWER, steps)
        return (first, *segment_lengths(steps - first)) if steps > first else (first,)
