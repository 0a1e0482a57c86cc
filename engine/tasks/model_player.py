"""A loaded model as a player: all prompts of a round in one batch, each answer drawn from the model.

The noise of a draw is a function of (seed, round, game, step), the widths of (row's prompt length, settings): an
answer does not depend, to the bit, on which other games are still going on (`engine.model.prompts`).
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from causeway.engine import scalars
from causeway.engine.devices import RowParallel, parallel_of
from causeway.engine.model.handle import Model
from causeway.engine.model.prompts import PromptRows, generate_prompts
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout, segment_lengths
from causeway.engine.model.transformer import Transformer


@dataclasses.dataclass(frozen=True)
class ModelPlayer:
    """Answers drawn from a model.

    Attributes:
        model: with a tokenizer. sampling: how tokens are drawn; stop tokens end an answer and are no part of it.
        seed: of the draws. max_new_tokens: of an answer. rows: bucket of rows, per device; part of what fixes the bits.
        parallel: devices the rows are spread over (default: those of the weights).
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
        wanted = [
            PromptRows(ids, round_number, np.array([game]), name=f"game {game}, round {round_number}")
            for ids, game in zip(tokens, games, strict=True)
        ]
        drawn = generate_prompts(
            self._placed, wanted, layout=Layout(self.rows, segment_lengths(self.max_new_tokens)),
            sampling=self.sampling, seed=self.seed, parallel=self._devices,
        )  # fmt: skip
        ends = (-1, *self.sampling.stop_tokens)
        new = [[int(i) for i in found.tokens[0] if i not in ends] for found in drawn]
        return [self.model.text_after(ids, answer) for ids, answer in zip(tokens, new, strict=True)]

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
        return self.parallel or parallel_of(self.model.transformer)

    @functools.cached_property
    def _placed(self) -> Transformer:
        """The weights on every device, copied once and not with every turn."""
        return self._devices.replicate(self.model.transformer)
