"""Running a driver so that bad input ends it with one line and exit status 2, not with a traceback.

Not part of `main`, which is a program: run by `python -m` it is imported a second time under its own name, and absl
refuses flags that are defined twice.
"""

import logging
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags
from absl import logging as absl_logging

from causeway.drivers import flag_errors

TRACEBACK = flags.DEFINE_bool("traceback", False, "Show where in the code an error was raised, not its line alone.")

# A refusal that repeats what came may repeat very much.
LONGEST = 4_000


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
            _refuse(argv[0], str(error))

    logging.getLogger("jax").setLevel(logging.WARNING)
    warnings.formatwarning = lambda message, *_, **__: f"{argv[0]}: warning: {message}\n"
    app.run(guarded, argv, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    try:
        parsed = flags.FLAGS(argv)
        flag_errors.check_numbers()
        return parsed
    except flags.Error as error:
        _refuse(argv[0], flag_errors.message(error))
    except ValueError as error:
        _refuse(argv[0], str(error))


def _refuse(command: str, error: str) -> NoReturn:
    """One line, whatever a library's message is like."""
    line = " ".join(error.split())
    print(f"{command}: {line if len(line) <= LONGEST else line[:LONGEST] + '...'}", file=sys.stderr)
    sys.exit(2)
