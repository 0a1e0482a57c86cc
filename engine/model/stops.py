"""What ends a rollout, as a person says it: token ids and texts, beside the model's own stop tokens.

An id ends a row on the device, with the step that draws it. A text ends a row with the token in which the text is
complete, however the model cut it into tokens: it is looked for in what the row has written, between segments, and
what lies beyond is dropped. Rows that write a stop text run on to the end of their segment, nothing else differs.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from causeway.engine import scalars
from causeway.engine.model.handle import Model
from causeway.engine.model.rollouts import GOES_ON, Ends


@dataclasses.dataclass(frozen=True)
class Stops:
    """ids: tokens that end a row (kept as its last). texts: texts that end it, with the token that completes them."""

    ids: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()

    def ends(self, model: Model, prompt: Sequence[int]) -> Ends | None:
        """Where the texts end rows that continue a prompt; None without texts."""
        if not self.texts:
            return None
        return lambda tokens: np.array([self._end(model, prompt, row[row >= 0].tolist()) for row in tokens], np.int32)

    def _end(self, model: Model, prompt: Sequence[int], ids: Sequence[int]) -> int:
        if not self._complete(model.continuation(prompt, ids)):
            return GOES_ON
        return next(n for n in range(1, len(ids) + 1) if self._complete(model.continuation(prompt, ids[:n])))

    def _complete(self, text: str) -> bool:
        return any(stop in text for stop in self.texts)


def stops_of(model: Model, stop: Any = None) -> Stops:
    """What ends rollouts of a model.

    Args:
        stop: None takes the model's own stop tokens. Ids and texts, or one of them, end rows beside the model's own. An
            empty list ends none, not even at the model's own.

    Raises:
        ValueError: an id outside the vocabulary, an empty text, a text without a tokenizer, or neither id nor text.
    """
    if stop is None:
        return Stops(model.stop_ids)
    if isinstance(stop, Mapping):
        raise ValueError(f"stop: got {scalars.shown(stop)}; needs token ids, or texts to be written")
    values = [stop] if isinstance(stop, str | bytes) or not isinstance(stop, Iterable) else list(stop)
    if not values:
        return Stops()
    texts = [value for value in values if isinstance(value, str)]
    if "" in texts or (texts and model.tokenizer is None):
        wrong = "an empty text" if "" in texts else f"the text {texts[0]!r}, but {model.name} has no tokenizer"
        raise ValueError(f"stop: got {wrong}; needs token ids, or texts to be written")
    last = model.config.vocab_size - 1
    ids = [scalars.integer(value, "stop", 0, last) for value in values if not isinstance(value, str)]
    return Stops(tuple(dict.fromkeys((*model.stop_ids, *ids))), tuple(dict.fromkeys(texts)))
