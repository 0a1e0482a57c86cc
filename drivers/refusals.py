"""Running a driver so that bad input ends it with one line and exit status 2, not with a traceback.

Not part of `main`, which is a program: run by `python -m` it is imported a second time under its own name, and absl
refuses flags that are defined twice.
"""

import logging
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags
from absl import logging as absl_logging

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
            if TRACEBACK.value:
                raise
            _refuse(argv[0], error)

    logging.getLogger("jax").setLevel(logging.WARNING)
    app.run(guarded, argv, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        _refuse(argv[0], error)


def _refuse(command: str, error: Exception) -> NoReturn:
    """One line, whatever a library's message is like."""
    print(f"{command}: {' '.join(_text(error).split())}", file=sys.stderr)
    sys.exit(2)


def _text(error: Exception) -> str:
    """An error of the operating system without its number, with the file that it was about."""
    if isinstance(error, OSError) and error.errno is not None and str(error).startswith("[Errno"):
        return f"{error.filename or 'while reading or writing'}: {error.strerror}"
    return str(error)
