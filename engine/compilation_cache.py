"""Compiled programs kept on disk, so that what has been compiled once on a machine is loaded: JAX's own cache.

JAX does the keeping; its keys cover program, options, versions of jaxlib and of the backend, and kind of device. What
is settled here is where, and how much. Code from the folder is executed, so nobody else may be able to write to it;
and code for a CPU is for that processor, so homes that several machines share hold a folder a kind of processor:

    $XDG_CACHE_HOME/causeway/programs-PROCESSOR, else ~/.cache/causeway/programs-PROCESSOR

JAX's own settings win where they are in the environment: JAX_COMPILATION_CACHE_DIR names another folder,
JAX_COMPILATION_CACHE_MAX_SIZE another size in bytes, JAX_ENABLE_COMPILATION_CACHE=false turns the cache off.

JAX holds a lock over every read and write of a cache of bounded size, so processes may share it. It writes an entry and
then its time: an entry without one was not written to its end, and is removed when a model is loaded, as JAX would keep
it for good.
"""

import contextlib
import hashlib
import os
import platform
import stat
import sys
import warnings
from pathlib import Path

from filelock import FileLock, Timeout

# The least recently used programs go beyond this: some thousands of CPU programs, some hundreds for a GPU.
MOST_BYTES = 4 << 30
# JAX by default keeps what takes a second to compile; a driver's small programs together take longer than that.
_ALL_PROGRAMS = {"jax_persistent_cache_min_compile_time_secs": 0.0, "jax_persistent_cache_min_entry_size_bytes": -1}
_FOLDER, _OFF = "JAX_COMPILATION_CACHE_DIR", ("false", "0", "f", "no", "n", "off")
# JAX's names, which make the folder's layout.
_ENTRY, _TIME, _LOCK = "-cache", "-atime", ".lockfile"


def keep_compiled_programs() -> Path | None:
    """Keep compiled programs from now on and use those that are kept, in this process and those that it starts.

    Drivers do so by themselves. Where no folder can be used there is one warning, and programs are compiled anew; a
    disk that fills up meanwhile is no failure either.

    Returns:
        The folder; None where programs are not kept.
    """
    if os.environ.get("JAX_ENABLE_COMPILATION_CACHE", "").lower() in _OFF:
        return None
    settings: dict[str, float | int | str] = dict(_ALL_PROGRAMS)
    folder = os.environ.get(_FOLDER)
    if not folder:
        try:
            folder = str(private_folder())
        except (OSError, RuntimeError, ValueError) as error:
            warnings.warn(f"compiled programs are not kept: {' '.join(str(error).split())}", stacklevel=2)
            return None
        settings |= {_FOLDER.lower(): folder, "jax_compilation_cache_max_size": MOST_BYTES}
    for name, value in settings.items():
        _set(name, value)
    for told in ("Error (reading|writing) persistent compilation cache", "Cache value for key"):
        warnings.filterwarnings("ignore", message=told)
    return Path(folder)


def programs_are_kept() -> bool:
    """Whether this process keeps what it compiles."""
    config = sys.modules["jax"].config if "jax" in sys.modules else None
    return config is not None and bool(config.jax_enable_compilation_cache and config.jax_compilation_cache_dir)


def _set(name: str, value: float | int | str) -> None:
    """A setting of jax, whether it is imported already or not; one that is in the environment stays."""
    if os.environ.get(name.upper()):
        return
    os.environ[name.upper()] = str(value)
    if "jax" in sys.modules:
        sys.modules["jax"].config.update(name, value)


def private_folder() -> Path:
    """The folder of this user's programs for this processor, made where it is not there.

    Raises:
        OSError: it cannot be made or written.
        RuntimeError: there is no home.
        ValueError: others could have put their code there.
    """
    folder = _named_folder()
    for place in (folder.parent, folder):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(place)
    return folder


def _named_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The convention says that a relative one is to be ignored.
    home = (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "causeway"
    return home / f"programs-{processor()}"


def _check_private(folder: Path) -> None:
    """Neither the folder, nor what its name leads to, is in the hands of others."""
    found, above = folder.lstat(), folder.parent.stat()
    if stat.S_ISLNK(found.st_mode):
        raise ValueError(f"{folder} is a link, which may lead elsewhere later; set XDG_CACHE_HOME to where it leads")
    # A group may be one's own alone, as it is where umask leaves it the right to write.
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        raise ValueError(f"{folder.parent} can be written by others, who could replace {folder.name}; chmod o-w it")
    if found.st_uid != os.getuid():
        raise ValueError(f"{folder} belongs to another user; set XDG_CACHE_HOME to a folder of your own")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError(f"{folder} can be written by others, whose code would be run; chmod 700 it")


def processor() -> str:
    """What compiled code depends on of a CPU: architecture, model and features, hashed."""
    told = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(errors="replace").split("\n\n", 1)[0]
        named = ("vendor_id", "cpu family", "model", "model name", "flags", "Features", "CPU implementer", "CPU part")
        told += [line for line in first.splitlines() if line.split(":")[0].strip() in named]
    return f"{platform.machine()}-{hashlib.sha256(chr(10).join(told).encode()).hexdigest()[:12]}"


def remove_torn_programs() -> None:
    """Remove entries of the private folder whose writing was cut short, before anything is compiled.

    Drivers do so when they load a model; those that compile nothing need no list of the folder. Nothing is removed
    while another process is at work, which may be writing, or from a folder that somebody named.
    """
    folder = os.environ.get(_FOLDER)
    # Without a bound jax writes no times and takes no lock, so nothing tells an entry that was cut short.
    if folder and os.environ.get("JAX_COMPILATION_CACHE_MAX_SIZE") != "-1" and folder == str(_named_folder()):
        _remove_torn(Path(folder))


def _remove_torn(folder: Path) -> None:
    with contextlib.suppress(Timeout), FileLock(folder / _LOCK, timeout=0):
        names = set(os.listdir(folder))
        for name in names:
            if name.endswith(_ENTRY) and name.removesuffix(_ENTRY) + _TIME not in names:
                (folder / name).unlink()
