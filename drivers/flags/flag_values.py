"""Values of flags, checked as far as absl does not."""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from absl import flags

from causeway.drivers.flags.flag_errors import flag_of

Number = TypeVar("Number", int, float)


def given(name: str, needed: str) -> Any:
    """The value of a flag that must be given.

    Raises:
        ValueError: it is not.
    """
    if not getattr(flags.FLAGS, name):
        raise ValueError(f"--{name}: got nothing; needs {needed}")
    return getattr(flags.FLAGS, name)


def all_given(example: str, *names: str) -> None:
    """Refuse at once where flags that must be given are not, all of them in one line.

    Args:
        example: a command that has them. names: the flags.

    Raises:
        ValueError: one is missing.
    """
    if missing := [f"--{name}" for name in names if not getattr(flags.FLAGS, name)]:
        raise ValueError(f"{', '.join(missing)}: got nothing; needed as in `{example}`")


def folder(name: str, default: Path | None = None) -> Path:
    """The folder of a flag, known to be one that can be made and written to; it is not made yet.

    Raises:
        ValueError: it is not given and has no default, or cannot be.
    """
    path = Path(getattr(flags.FLAGS, name) or default or given(name, "a folder to write"))
    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        wrong = "may not be written to" if there.is_dir() else "is a file"
        raise ValueError(f"--{name}: got {path}, but {there} {wrong}; give a folder to write")
    return path


def absent(paths: Iterable[Path]) -> None:
    """Refuse to write over results that are in --out already, unless --overwrite is given.

    Args:
        paths: of the results.

    Raises:
        ValueError: one is there, and --overwrite is not given.
    """
    if not flags.FLAGS.overwrite and (there := [path for path in paths if path.exists()]):
        raise ValueError(f"--out: {there[0]} is there already; give another folder or --overwrite")


def no_effect(where: str, *names: str) -> None:
    """Refuse flags that were typed and would do nothing, unless with the value that they have anyway or as --shared.

    Args:
        where: the mode in which they do nothing, such as "without --generate".

    Raises:
        ValueError: one was given.
    """
    found = [flags.FLAGS[name] for name in names]
    typed = [flag for flag in found if flag.present and flag.value != flag.default]
    if idle := [f"--{flag.name}" for flag in typed if flag.name not in flags.FLAGS.shared]:
        raise ValueError(f"{', '.join(idle)}: without effect {where}; leave {'it' if len(idle) == 1 else 'them'} out")


@contextlib.contextmanager
def named(*names: str) -> Iterator[None]:
    """Begins what is wrong with the values of flags with the flags, unless it begins with another already.

    Raises:
        ValueError: in place of any, or of a missing file, inside the block.
    """
    try:
        yield
    except (FileNotFoundError, ValueError) as error:
        if str(error).startswith("--") or flag_of(str(error).partition(": ")[0]):
            raise
        raise ValueError(f"{', '.join(f'--{name}' for name in names)}: {error}") from error


def share(name: str) -> None:
    """Refuse a flag that is no share of a whole.

    Raises:
        ValueError: it is 0 or less, or above 1.
    """
    if not 0 < getattr(flags.FLAGS, name) <= 1:
        raise ValueError(f"--{name}: got {getattr(flags.FLAGS, name)}; needs a share above 0 and at most 1")


def workdir_beside(out: Path) -> Path:
    """The workdir of a run whose results go to `out`: --workdir, or OUT.work."""
    return folder("workdir", out.with_name(f"{out.name}.work"))


def numbers(name: str, kind: Callable[[str], Number]) -> list[Number]:
    """The entries of a list flag as numbers.

    Raises:
        ValueError: an entry is not one, or not one that a flag can mean.
    """
    from causeway.engine import scalars

    try:
        found = [kind(entry) for entry in getattr(flags.FLAGS, name)]
    except ValueError:
        got = ",".join(getattr(flags.FLAGS, name))
        raise ValueError(f"--{name}: got {scalars.shown(got)}; needs numbers separated by commas") from None
    for number in found:
        check = scalars.real if isinstance(number, float) else scalars.integer
        check(number, f"--{name}")
    return found


def layer_numbers(name: str) -> list[int]:
    """The layers of a list flag, negative ones counted from the end; none for `all`, as where none is given.

    Raises:
        ValueError: an entry is not one.
    """
    given = [] if getattr(flags.FLAGS, name) == ["all"] else getattr(flags.FLAGS, name)
    for text in given:
        if not re.fullmatch(r"\s*-?[0-9]{1,9}\s*", text):
            raise ValueError(f"--{name}: got {text!r}; needs layer numbers such as 0,1,2, or -1 for the last")
    return [int(text) for text in given]
