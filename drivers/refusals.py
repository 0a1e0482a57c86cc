"""Running a driver so that bad input ends it with one line and exit status 2, not with a traceback, and --help with
its page.

Not part of `main`, which is a program: run by `python -m` it is imported a second time under its own name, and absl
refuses flags that are defined twice.
"""

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from absl import app, flags
from absl import logging as absl_logging

from causeway.drivers import help as help_text

TRACEBACK = flags.DEFINE_bool("traceback", False, "Show where in the code an error was raised, not its line alone.")


def run_driver(main: Callable[[list[str]], None], argv: list[str]) -> None:
    """Run a driver's main function on its arguments; argv[0] is what the person typed, or the driver's file."""
    if help_text.asked(argv[1:]):
        # "causeway screen", or the path of screen.py where it is a process of its own.
        driver = Path(argv[0].split()[-1]).stem
        text = sys.modules[main.__module__].__doc__ or ""
        print(help_text.page(driver, text, full=bool(help_text.FULL & set(argv[1:]))))
        return

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
    except flags.UnrecognizedFlagError as error:
        _refuse(argv[0], _unknown(error.flagname))
    except flags.IllegalFlagValueError as error:
        _refuse(argv[0], _illegal(error))
    except flags.Error as error:
        _refuse(argv[0], error)


def _unknown(name: str) -> ValueError:
    """What a flag that is not there was probably meant to be."""
    near = help_text.suggestion(name, help_text.own_flags())
    return ValueError(f"--{name}: no such flag; " + (f"did you mean --{near}?" if near else "--help lists the flags"))


def _illegal(error: flags.IllegalFlagValueError) -> Exception:
    """A value of the wrong kind or size in words, not in those of Python's int and float."""
    found = re.fullmatch(r"flag --(\w+)=(.*?): .*", str(error), re.S)
    if not found or not (needed := _values(flags.FLAGS[found[1]])):
        return error
    article = "an " if needed.startswith("integer") else "a " if needed.startswith("number") else ""
    return ValueError(f"flag --{found[1]}={found[2]}: needs {article}{needed}")


def _values(flag: flags.Flag) -> str:
    return "true or false" if flag.boolean else flag.parser.syntactic_help


def _refuse(command: str, error: Exception) -> NoReturn:
    """One line, whatever a library's message is like."""
    print(f"{command}: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(2)
