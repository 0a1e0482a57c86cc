"""Values of flags, checked as far as absl does not."""

import os
from collections.abc import Callable
from pathlib import Path
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


def folder(flag: flags.FlagHolder[str | None]) -> Path:
    """The folder of a flag that must be given, known to be one that can be made and written to; it is not made yet.

    Raises:
        ValueError: it is not given, or cannot be.
    """
    path = Path(given(flag, "a directory to write"))
    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        wrong = "may not be written to" if there.is_dir() else "is a file"
        raise ValueError(f"--{flag.name}: got {path}, but {there} {wrong}; give a directory to write")
    return path


def numbers(flag: flags.FlagHolder[list[str]], kind: Callable[[str], Number]) -> list[Number]:
    """The entries of a list flag as numbers.

    Raises:
        ValueError: an entry is not one, or not one that a flag can mean.
    """
    from causeway.engine import scalars

    try:
        found = [kind(entry) for entry in flag.value]
    except ValueError:
        got = ",".join(flag.value)
        raise ValueError(f"--{flag.name}: got {scalars.shown(got)}; needs numbers separated by commas") from None
    for number in found:
        check = scalars.real if isinstance(number, float) else scalars.integer
        check(number, f"--{flag.name}")
    return found
