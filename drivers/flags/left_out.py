"""Lines and prompts that cannot be used: they stop the run, or with --skip_bad are told and left out."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def tell(bad: Sequence[str]) -> None:
    """A line on stderr for each message."""
    for message in bad:
        print(f"left out: {message}", file=sys.stderr)


def usable(
    items: Sequence[Item], make: Callable[[Item], Made], skip_bad: bool, done: str
) -> tuple[list[Item], list[Made]]:
    """Prompts and what `make` makes of each, its ValueErrors told and their prompts left out.

    Args:
        items: of --prompts. make: raises ValueError, naming the prompt, for one that cannot be used.
        skip_bad: whether such a prompt is left out; else it stops the run. done: what is done with prompts, "scored".

    Raises:
        ValueError: a prompt that cannot be used (unless `skip_bad`), or none that can.
    """
    kept, made, bad = [], [], []
    for item in items:
        try:
            made.append(make(item))
            kept.append(item)
        except ValueError as error:
            if not skip_bad:
                raise ValueError(f"--prompts: {error}; --skip_bad keeps the others") from None
            bad.append(str(error))
    tell(bad)
    if not kept:
        raise ValueError(f"--prompts: none of {len(items)} prompts can be {done}; the last: {bad[-1]}")
    return kept, made
