"""Values of flags, checked as far as absl does not."""

from collections.abc import Callable
from typing import TypeVar

from absl import flags

Number = TypeVar("Number", int, float)


def given(flag: flags.FlagHolder[str | None], needed: str) -> str:
    """The value of a flag that must be given.

    Raises:
        ValueError: it is not.
    """
    if not flag.value:
        raise ValueError(f"--{flag.name}: got nothing; needs {needed}")
    return flag.value


def numbers(flag: flags.FlagHolder[list[str]], kind: Callable[[str], Number]) -> list[Number]:
    """The entries of a list flag as numbers.

    Raises:
        ValueError: an entry is not one.
    """
    try:
        return [kind(entry) for entry in flag.value]
    except ValueError:
        got = ",".join(flag.value)
        raise ValueError(f"--{flag.name}: got {got!r}; needs numbers separated by commas") from None
