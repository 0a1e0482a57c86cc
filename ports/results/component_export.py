"""Second-order effects as the files of the original pipeline, for scripts that read those.

    {name}_second_order_layer{L}.npy       [prompts, neurons, D] float32: the effects themselves
    {name}_layer{L}_{k}_pca.npy            [neurons, D] first singular vector of the k largest deviations
    {name}_layer{L}_{k}_norm.npy           [neurons, k] sizes of these, ascending: the first is the threshold
    {name}_correctness_direction.npy       [D], where a direction is given
    {name}_layer{L}_export.json            which prompts the rows are, and which neurons

Effects take P M D numbers, which is why they are written only for neurons that were chosen, and asked for.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from causeway.engine.sweep import durable


def export_name(model: str) -> str:
    """What the files of a model's prompts begin with."""
    return "prompts_" + re.sub(r"\W+", "-", model).strip("-")


def export_bytes(prompts: int, neurons: Sequence[int], width: int) -> int:
    """What the effects take.

    Args:
        neurons: how many of each layer. width: D.
    """
    return 4 * prompts * sum(neurons) * width


def files(name: str, layer: int, k: int) -> list[str]:
    """Names of what may be written of a layer."""
    stem = f"{name}_layer{layer}"
    own = [f"{stem}_{k}_pca.npy", f"{stem}_{k}_norm.npy", f"{stem}_export.json"]
    return [effects_file(name, layer), *own, f"{name}_correctness_direction.npy"]


def effects_file(name: str, layer: int) -> str:
    """Of the effects of a layer."""
    return f"{name}_second_order_layer{layer}.npy"


def write_effects(path: Path, shape: tuple[int, int, int], parts: Iterable[tuple[slice, np.ndarray]]) -> None:
    """Write the effects of a layer, some neurons at a time.

    Args:
        shape: prompts, neurons, D. parts: neurons by place, and their effects [prompts, m, D].
    """
    with durable.replacing(path) as temporary:
        whole = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
        for neurons, effects in parts:
            whole[:, neurons] = effects
        whole.flush()


def write_directions_of(
    folder: Path, name: str, layer: int, pca: Float[np.ndarray, "M D"], largest: Float[np.ndarray, "M k"]
) -> None:
    """Write the published directions of a layer and the sizes that chose them."""
    stem = f"{name}_layer{layer}_{largest.shape[1]}"
    write_array(folder / f"{stem}_pca.npy", pca)
    write_array(folder / f"{stem}_norm.npy", largest)


def write_array(path: Path, array: Float[np.ndarray, "..."]) -> None:
    """Write one array in float32."""
    with durable.replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array.astype(np.float32))


def write_export(folder: Path, name: str, layer: int, about: Mapping[str, Any]) -> None:
    """Write what the rows of a layer's arrays are, after them."""
    durable.write_bytes(folder / f"{name}_layer{layer}_export.json", (json.dumps(dict(about)) + "\n").encode())
