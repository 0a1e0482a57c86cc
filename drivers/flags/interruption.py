"""SIGINT and SIGTERM end a driver within seconds, whatever it is doing, with one line and exit status 130.

The first signal raises KeyboardInterrupt in the main thread, so that what is open is closed. That is not enough: a
call into compiled code (an XLA compilation may take a minute) hears of no signal before it returns, and a library may
swallow the exception. So the operating system's handler also wakes a thread of ours, which ends the process where it
stands when `GRACE_SECONDS` have passed. What is on disk is whole at any moment, so nothing is lost by that.
A sweep takes the signals over while it computes (`engine.sweep.interrupt`) and ends by itself, with status 3.
Nothing but the standard library is imported here: this must be in place before the imports that take long.
"""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

# Exit status of a command that a signal ended, and of one that stopped by itself where it can be resumed.
INTERRUPTED, RESUMABLE = 130, 3
GRACE_SECONDS = 4.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Process:
    """The command that this process runs, and what is known of signals; there is one set of handlers a process."""

    installed = False
    name, grace, resumes = "causeway", GRACE_SECONDS, False
    requested = False
    unwinding = False
    leaving = threading.Lock()


def resumes(there: bool, grace: float = GRACE_SECONDS) -> None:
    """Say whether the same command goes on, and how long it waits for one that it runs, once flags are known."""
    _Process.resumes, _Process.grace = there, grace


@contextlib.contextmanager
def interruptible(name: str, shows_traceback: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Ends the process with one line where a signal interrupts what is inside.

    Args:
        name: of the command, as the person typed it.
        shows_traceback: whether the place is to be shown as well.
    """
    _Process.name = name
    _install()
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if shows_traceback():
            traceback.print_exc()
        _flush_and_leave(*_told(interrupt))
    except SystemExit as end:
        if not _Process.requested:
            raise
        # Not by the usual way out, which waits for threads that compute.
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        _flush_and_leave(end.code if isinstance(end.code, str) else "", status)
    except BaseException:
        # A library may have made an exception of its own of the signal.
        if not _Process.requested or shows_traceback():
            raise
        _flush_and_leave(*_told())
    finally:
        # A signal that comes once the command is done changes neither what was done nor the exit status.
        _answer(signal.SIG_IGN)


def came() -> bool:
    """Whether a signal asked this process to end."""
    return _Process.requested


def _install() -> None:
    """Take the signals over, also where a shell had SIGINT ignored, as it does for a command that ends in `&`."""
    if not _Process.installed and threading.current_thread() is threading.main_thread():
        _Process.installed = True
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(reader,), daemon=True).start()
        sys.unraisablehook = _swallowed
    _answer(_handle)


def _answer(by: Any) -> None:
    for number in _SIGNALS if threading.current_thread() is threading.main_thread() else ():
        signal.signal(number, by)


def _watch(reader: int) -> None:
    """In a thread of its own: wait for a signal, then for the process to end by itself, then end it."""
    while os.read(reader, 1)[0] not in _SIGNALS:
        pass
    _Process.requested = True
    time.sleep(_Process.grace)
    leave(*_told())


def _handle(_number: int, frame: FrameType | None) -> None:
    # While modules are imported nothing is open, and compiled ones crash when an exception comes out of the middle.
    if _Process.unwinding or _imports(frame):
        leave(*_told())
    _Process.requested = _Process.unwinding = True
    raise KeyboardInterrupt


def _imports(frame: FrameType | None) -> bool:
    """Whether a frame or one that called it is Python's import."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def _swallowed(unraisable: Any) -> None:
    """Python drops what is raised in callbacks of the garbage collector and the like: there is no one to catch it."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        leave(*_told())
    sys.__unraisablehook__(unraisable)


def _told(interrupt: KeyboardInterrupt | None = None) -> tuple[str, int]:
    """The line and the exit status; a run that stopped by itself says how far it came."""
    if interrupt is not None and str(interrupt):
        return str(interrupt), RESUMABLE
    return "interrupted" + ("; rerun the same command to resume" if _Process.resumes else ""), INTERRUPTED


def _flush_and_leave(line: str, status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    leave(line, status)


def leave(line: str, status: int = RESUMABLE) -> NoReturn:
    """End the process, from any thread; not through Python's streams, which another thread may hold."""
    if not _Process.leaving.acquire(blocking=False):
        time.sleep(60)  # another thread is ending the process
    if line:
        with contextlib.suppress(OSError):
            os.write(2, f"{_Process.name}: {line}\n".encode())
    os._exit(status)
