"""Running a driver so that bad input ends it with one line and exit status 2, not with a traceback; a full disk with
status 3 where the same command goes on; a signal as `interruption` says; and --help with its page.

Not part of `main`, which is a program: run by `python -m` it is imported a second time under its own name, and absl
refuses flags that are defined twice.
"""

import errno
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from absl import app, flags
from absl import logging as absl_logging

from causeway.drivers.flags import flag_errors, interruption, process_flags, table
from causeway.drivers.flags import help as help_text
from causeway.engine.compilation_cache import keep_compiled_programs
from causeway.engine.freed_memory import keep_freed_memory

FLAGS = table.take("traceback shared show_config")

# Drivers that take words beside flags.
TAKE_WORDS = ("bench",)
# A refusal that repeats what came may repeat very much.
LONGEST = 4_000


def run_driver(main: Callable[[list[str]], None], argv: list[str]) -> None:
    """Run a driver's main function on its arguments; argv[0] is what the person typed, or the driver's file."""
    if help_text.asked(argv[1:]):
        # "causeway screen", or the path of screen.py where it is a process of its own.
        driver = Path(argv[0].split()[-1]).stem
        text = sys.modules[main.__module__].__doc__ or ""
        print(help_text.page(driver, text, full=bool(help_text.FULL & set(argv[1:]))))
        return

    def guarded(parsed: list[str]) -> None:
        if len(parsed) > 1 and Path(argv[0].split()[-1]).stem not in TAKE_WORDS:
            _refuse(argv[0], f"unknown arguments: {' '.join(parsed[1:])}")
        if not flags.FLAGS["verbosity"].present:
            # Orbax tells every step of every checkpoint.
            absl_logging.set_verbosity(absl_logging.WARNING)
        if FLAGS.show_config:
            _show_config(argv[0])
            return
        interruption.resumes(_resumes())
        # Before jax is imported, which main does: it reads the environment then.
        keep_compiled_programs()
        keep_freed_memory()
        try:
            process_flags.run(main, parsed, argv)
        except (ValueError, OSError, app.UsageError, MemoryError, RuntimeError) as error:
            from causeway.engine.memory import is_out_of_memory

            # A device that has no memory left says so in an error of jax's own, which is a RuntimeError.
            full = is_out_of_memory(error)
            if FLAGS.traceback or interruption.came() or (isinstance(error, RuntimeError) and not full):
                raise
            _refuse(argv[0], f"out of memory: {error}; needs a smaller model, batch or block" if full else error)

    logging.getLogger("jax").setLevel(logging.WARNING)
    warnings.formatwarning = lambda message, *_, **__: f"{argv[0]}: warning: {message}\n"
    with interruption.interruptible(argv[0], lambda: FLAGS.traceback):
        app.run(guarded, argv, flags_parser=_parse)


def _show_config(command: str) -> None:
    from causeway.drivers.flags import show_config

    try:
        print(show_config.page(Path(command.split()[-1]).stem))
    except ValueError as error:
        _refuse(command, error)


def _resumes() -> bool:
    """Whether the driver keeps what it has done: one that does has this flag; readers do where it is set, and
    commands that look into a folder never."""
    if "causeway.drivers.flags.reading_flags" in sys.modules:
        return bool(flags.FLAGS["workdir"].value)
    return "workdir" in flags.FLAGS and flags.FLAGS["workdir"].help != table.TABLE["shown_folder"].help


def _parse(argv: list[str]) -> list[str]:
    try:
        parsed = flags.FLAGS(argv)
        flag_errors.check_numbers()
        return parsed
    except flags.UnrecognizedFlagError as error:
        _refuse(argv[0], unknown(error.flagname))
    except flags.Error as error:
        _refuse(argv[0], flag_errors.message(error))
    except ValueError as error:
        _refuse(argv[0], error)
    except Exception as error:
        # A configuration file is a program, run while flags are read.
        if "config" not in flags.FLAGS:
            raise
        _refuse(argv[0], f"--config: {type(error).__name__}: {error}")


def unknown(name: str) -> str:
    """What is wrong with a flag that is not there, and which one was probably meant."""
    known = help_text.own_flags()
    if now := [new for new in table.RENAMED.get(name, ()) if new in known]:
        return f"--{name}: is called --{now[0]} now"
    if now := [new for new in table.RENAMED.get(name.removeprefix("no"), ()) if new in known and known[new].boolean]:
        return f"--{name}: is called --no{now[0]} now"
    near = help_text.suggestion(name, known)
    return f"--{name}: no such flag; " + (f"did you mean --{near}?" if near else "--help lists the flags")


def _refuse(command: str, error: Exception | str) -> NoReturn:
    """One line, whatever a library's message is like."""
    line, status = _of_flag(" ".join(_text(error).split())), 2
    line = line if len(line) <= LONGEST else line[:LONGEST] + "..."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        line = f"stopped because the disk is full ({error.filename}); free space and rerun the same command"
        if _resumes():
            line, status = f"{line} to resume", interruption.RESUMABLE
    print(f"{command}: {line}", file=sys.stderr)
    sys.exit(status)


def _of_flag(line: str) -> str:
    """A line that begins with the name of an argument, with the flag that gives it instead."""
    name, _, rest = line.partition(": ")
    flag = flag_errors.flag_of(name)
    return f"--{flag}: {rest}" if rest and flag else line


def _text(error: Exception | str) -> str:
    """An error of the operating system without its number, with the file that it was about."""
    if isinstance(error, OSError) and error.errno is not None and str(error).startswith("[Errno"):
        return f"{error.filename or 'while reading or writing'}: {error.strerror}"
    return str(error)
