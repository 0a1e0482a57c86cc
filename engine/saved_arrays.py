"""Named arrays on disk, with Orbax: saved once, restored straight onto any mesh and in any dtype.

Each device reads the part of each array that its shard is, cast on the way; nothing passes through another device or
through one host array of full size. Arrays get their name when all of them are on disk, so what is there under it is
whole; that it has stayed so is known to whoever sealed the folder (`sweep.checksums`).

Whatever Orbax and TensorStore raise becomes one line.

Cost: the arrays' bytes once, either way. Orbax is imported where it is used: half a CPU-second, a fifth of the start of
a command that touches no checkpoint.
"""

import contextlib
import errno
import glob
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

from causeway.engine.sweep.durable import is_disk_full
from causeway.engine.whole_folder import sync_tree


def save_arrays(directory: Path, arrays: Mapping[str, jax.Array]) -> None:
    """Write arrays by name and wait until they are on disk.

    Raises:
        FileExistsError: the directory is there already.
        OSError: the disk is full, or may not be written.
    """
    from orbax.checkpoint import v1 as ocp

    if directory.exists():
        raise FileExistsError(f"{directory}: already there; name another directory")
    partial = directory.absolute().with_name(f"{directory.name}.partial")
    try:
        _remove_leftovers(partial)
        with _one_line(directory, "cannot be written"):
            ocp.save(str(partial), dict(arrays))
        sync_tree(partial)
        os.replace(partial, directory)
    finally:
        _remove_leftovers(partial)


def _remove_leftovers(partial: Path) -> None:
    """Orbax's own temporary name begins with the one it was given."""
    for left in partial.parent.glob(f"{glob.escape(partial.name)}*"):
        shutil.rmtree(left, ignore_errors=True)


def described_arrays(directory: Path) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and stored dtypes by name.

    Raises:
        ValueError: not a complete checkpoint.
    """
    from orbax.checkpoint import v1 as ocp

    with _one_line(directory, "not a whole checkpoint, make it again"):
        stored = ocp.metadata(str(directory.absolute())).metadata
    return {name: jax.ShapeDtypeStruct(entry.shape, entry.dtype) for name, entry in stored.items()}


def restore_arrays(directory: Path, wanted: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, jax.Array]:
    """Arrays with the dtypes and shardings wanted; no sharding means the default device.

    Raises:
        ValueError: not a complete checkpoint, other names or shapes than wanted, or values that are not finite in a
            narrower dtype.
    """
    from orbax.checkpoint import v1 as ocp

    stored = described_arrays(directory)
    if different := sorted(set(stored) ^ set(wanted)):
        raise ValueError(f"{directory}: arrays {', '.join(different[:8])} are there or wanted, but not both")
    for name, array in wanted.items():
        if tuple(stored[name].shape) != tuple(array.shape):
            raise ValueError(f"{directory}: {name} has shape {tuple(stored[name].shape)}; needs {tuple(array.shape)}")
    default = SingleDeviceSharding(jax.local_devices()[0])
    abstract = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding or default)
        for name, array in wanted.items()
    }
    with _one_line(directory, "cannot be read"):
        restored = ocp.load(str(directory.absolute()), abstract)
    for name, array in restored.items():
        if array.dtype != stored[name].dtype and not bool(jnp.isfinite(array).all()):
            raise ValueError(f"{directory}: {name} has values that are not finite in {array.dtype}; use a wider dtype")
    return dict(restored)


@contextlib.contextmanager
def _one_line(directory: Path, what: str) -> Iterator[None]:
    """Orbax and TensorStore raise errors of many types and lines, a full disk among them; Orbax logs them as well."""
    told = logging.getLogger("absl")
    silent = told.disabled
    try:
        told.disabled = True
        yield
    except Exception as error:
        if is_disk_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory)) from error
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{directory}: {what} ({type(error).__name__}: {reason})") from error
    finally:
        told.disabled = silent
