"""The order of every call, (model, prompt, dictionary), and for one version the older one too."""

import warnings
from typing import Any

from causeway.engine import scalars
from causeway.engine.dictionary.placement import Holder, InMemory


def in_order(call: str, prompt: Any, dictionary: Any) -> tuple[Any, InMemory]:
    """Prompt and dictionary, whichever came first.

    Raises:
        ValueError: no dictionary, or one that is not in memory.
    """
    if isinstance(prompt, Holder):
        warnings.warn(
            f"{call}: (model, dictionary, prompt) is the older order; write {call}(model, prompt, dictionary=...)",
            FutureWarning,
            stacklevel=3,
        )
        prompt, dictionary = dictionary, prompt
    if not isinstance(dictionary, InMemory):
        raise ValueError(
            f"dictionary: got {scalars.shown(dictionary)}; {call} takes transcoders, or SAEs, in memory "
            "(load_dictionaries without placement=Streamed)"
        )
    return prompt, dictionary


def holder_of(call: str, dictionary: Any) -> Holder:
    """Dictionaries of any kind.

    Raises:
        ValueError: something else.
    """
    if not isinstance(dictionary, Holder):
        raise ValueError(f"dictionary: got {scalars.shown(dictionary)}; {call} takes SAEs or transcoders")
    return dictionary
