"""Named arrays on disk, with Orbax: saved once, restored straight onto any mesh and in any dtype.

Each device reads the part of each array that its shard is, cast on the way; nothing passes through another device or
through one host array of full size. Orbax writes under a temporary name and renames when complete, so what is there
under its own name is whole.

Cost: the arrays' bytes once, either way.
"""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint import v1 as ocp


def save_arrays(directory: Path, arrays: Mapping[str, jax.Array]) -> None:
    """Write arrays by name and wait until they are on disk.

    Raises:
        FileExistsError: the directory is there already.
    """
    if directory.exists():
        raise FileExistsError(f"{directory}: already there; name another directory")
    ocp.save(str(directory.absolute()), dict(arrays))


def described_arrays(directory: Path) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and stored dtypes by name.

    Raises:
        ValueError: not a complete checkpoint.
    """
    try:
        stored = ocp.metadata(str(directory.absolute())).metadata
    except (ocp.errors.InvalidLayoutError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{directory}: not a whole checkpoint ({reason}); convert again") from None
    return {name: jax.ShapeDtypeStruct(entry.shape, entry.dtype) for name, entry in stored.items()}


def restore_arrays(directory: Path, wanted: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, jax.Array]:
    """Arrays with the dtypes and shardings wanted; no sharding means the default device.

    Raises:
        ValueError: not a complete checkpoint, other names or shapes than wanted, or values that are not finite in a
            narrower dtype.
    """
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
    restored = ocp.load(str(directory.absolute()), abstract)
    for name, array in restored.items():
        if array.dtype != stored[name].dtype and not bool(jnp.isfinite(array).all()):
            raise ValueError(f"{directory}: {name} has values that are not finite in {array.dtype}; use a wider dtype")
    return dict(restored)
