"""Prompts as a person hands them over: one or several, texts or token ids, lists or arrays."""

from collections.abc import Iterable, Mapping
from typing import Any

from causeway.engine import scalars
from causeway.engine.model.handle import Prompt


def prompt_list(prompts: Any) -> list[Prompt]:
    """The prompts one by one.

    A text is one prompt, and so is a sequence of numbers or a one-dimensional array (numpy, jax or torch). Any other
    sequence, or the rows of a two-dimensional array, are several. Whether their ids are ids is for `Model.tokens`.

    Raises:
        ValueError: none, or neither of these.
    """
    if isinstance(prompts, str):
        return [prompts]
    values = prompts.tolist() if hasattr(prompts, "tolist") else prompts
    if isinstance(values, bytes | bytearray | Mapping) or not isinstance(values, Iterable):
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs texts or lists of token ids, one or several")
    listed = list(values)
    if not listed:
        raise ValueError("prompts: got none; give at least one text or list of token ids")
    several = [isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0 for value in listed]
    if any(several) and not all(several):
        raise ValueError(
            f"prompts: got {scalars.shown(listed)}, numbers beside prompts; needs the ids of one prompt, or several "
            "prompts"
        )
    return listed if all(several) else [listed]
