"""Values of flags, checked as far as absl does not."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from absl import flags

# In place of a file: texts of the bundled model's synthetic tasks, which it knows.
TASKS = "tasks"

Number = TypeVar("Number", int, float)
# The largest seed: draws are keyed by 32 bits of it (`engine.scalars.seed`, which flags do not wait for).
MOST_SEED = 2**32 - 1


def given(flag: flags.FlagHolder[str | None], needed: str) -> str:
    """The value of a flag that must be given.

    Raises:
        ValueError: it is not.
    """
    if not flag.value:
        raise ValueError(f"--{flag.name}: got nothing; needs {needed}")
    return flag.value


def all_given(example: str, *names: flags.FlagHolder) -> None:
    """Refuse at once where flags that must be given are not, all of them in one line.

    Args:
        example: a command that has them. names: the flags.

    Raises:
        ValueError: one is missing.
    """
    if missing := [f"--{flag.name}" for flag in names if not flag.value]:
        raise ValueError(f"{', '.join(missing)}: got nothing; needed as in `{example}`")


def folder(flag: flags.FlagHolder[str | None], default: Path | None = None) -> Path:
    """The folder of a flag, known to be one that can be made and written to; it is not made yet.

    Raises:
        ValueError: it is not given and has no default, or cannot be.
    """
    path = Path(flag.value or default or given(flag, "a directory to write"))
    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        wrong = "may not be written to" if there.is_dir() else "is a file"
        raise ValueError(f"--{flag.name}: got {path}, but {there} {wrong}; give a directory to write")
    return path


def workdir_beside(flag: flags.FlagHolder[str | None], out: Path) -> Path:
    """The workdir of a run whose results go to `out`: that of the flag, or OUT.work."""
    return folder(flag, out.with_name(f"{out.name}.work"))


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


def layer_numbers(flag: flags.FlagHolder[list[str]]) -> list[int]:
    """The layers of a list flag; negative ones count from the end.

    Raises:
        ValueError: an entry is not one.
    """
    for text in flag.value:
        if not re.fullmatch(r"\s*-?[0-9]{1,9}\s*", text):
            raise ValueError(f"--{flag.name}: got {text!r}; needs layer numbers such as 0,1,2, or -1 for the last")
    return [int(text) for text in flag.value]
