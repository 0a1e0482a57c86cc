"""Running a driver so that bad input ends it with one line and exit status 2, not with a traceback; a full disk with
status 3 where the same command goes on; a signal as `interruption` says.

Not part of `main`, which is a program: run by `python -m` it is imported a second time under its own name, and absl
refuses flags that are defined twice.
"""

import errno
import logging
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags
from absl import logging as absl_logging

from causeway.drivers import interruption

TRACEBACK = flags.DEFINE_bool("traceback", False, "Show where in the code an error was raised, not its line alone.")


def run_driver(main: Callable[[list[str]], None], argv: list[str]) -> None:
    """Run a driver's main function on its arguments; argv[0] is what the person typed."""

    def guarded(parsed: list[str]) -> None:
        if not flags.FLAGS["verbosity"].present:
            # Orbax tells every step of every checkpoint.
            absl_logging.set_verbosity(absl_logging.WARNING)
        try:
            main(parsed)
        except (ValueError, OSError, app.UsageError) as error:
            if TRACEBACK.value or interruption.came():
                raise
            _refuse(argv[0], error)

    logging.getLogger("jax").setLevel(logging.WARNING)
    with interruption.interruptible(argv[0], _resumes(), lambda: TRACEBACK.value):
        app.run(guarded, argv, flags_parser=_parse)


def _resumes() -> bool:
    """Whether the driver keeps what it has done: one that does has this flag."""
    return "workdir" in flags.FLAGS


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        _refuse(argv[0], error)


def _refuse(command: str, error: Exception) -> NoReturn:
    """One line, whatever a library's message is like."""
    line, status = " ".join(str(error).split()), 2
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        line = f"stopped because the disk is full ({error.filename}); free space and rerun the same command"
        if _resumes():
            line, status = f"{line} to resume", interruption.RESUMABLE
    print(f"{command}: {line}", file=sys.stderr)
    sys.exit(status)
