"""The features of a set of prompts on disk.

    layer_{l}/{behaviour}_{split}_top_k_indices.npy          [n, k] the largest features of each sample
    layer_{l}/{behaviour}_{split}_top_k_values.npy           [n, k] their values, 0 where fewer are active
    layer_{l}/{behaviour}_{split}_feature_frequencies.npy    [F] share of prompts with the feature active anywhere
    layer_{l}/{behaviour}_{split}_feature_mean_active.npy    [F] share of a prompt's tokens, mean over prompts
    layer_{l}/{behaviour}_{split}_feature_mean_values.npy    [F] mean value over a prompt's tokens, mean over prompts
    layer_{l}/{behaviour}_{split}_full_activations.npy       [n, F] if asked for
    layer_{l}/{behaviour}_{split}_layer_meta.json            what the arrays are of, and figures a prompt
    {behaviour}_{split}_samples.npy                          [n, 2] prompt number and position of each sample
    {behaviour}_{split}_prompts.jsonl                        what was run, where prompts are conversations
    {behaviour}_{split}_summary.json                         written last: with it the set is whole

`causeway.sha256` has the checksums of all of them. A sample is a chosen token of a prompt. A set without its summary
is what a killed run left, and is replaced.
"""

import contextlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from causeway.engine.analyses.features.extract import LayerFeatures
from causeway.engine.sweep import checksums, durable

ARRAYS = ("top_k_indices", "top_k_values", "feature_frequencies", "feature_mean_active", "feature_mean_values")
_LAYER_FILES = (*(f"{name}.npy" for name in ARRAYS), "full_activations.npy", "layer_meta.json")


def summary_path(out: Path, behaviour: str, split: str) -> Path:
    """The file that makes a set whole."""
    return out / f"{_stem(behaviour, split)}summary.json"


def check_distinct(sets: Iterable[tuple[str, str]]) -> None:
    """Refuse (behaviour, split) pairs of which two would be written to the same files.

    Raises:
        ValueError: naming the files.
    """
    stems = [_stem(behaviour, split) for behaviour, split in sets]
    if twice := [stem for stem in stems if stems.count(stem) > 1]:
        raise ValueError(f"--prompts: two behaviours and splits would both be written to {twice[0]}*; rename one")


def prompts_path(out: Path, behaviour: str, split: str) -> Path:
    """The file of prompts as a chat template wrote them."""
    return out / f"{_stem(behaviour, split)}prompts.jsonl"


@contextlib.contextmanager
def written(out: Path, behaviour: str, split: str, layers: Sequence[int], again: bool = False) -> Iterator[None]:
    """Holds the folder, removes an earlier set unless the same is written again, and records the checksums."""
    names = [_place(Path(), behaviour, split, layer, name).as_posix() for layer in layers for name in _LAYER_FILES]
    own = [f"{_stem(behaviour, split)}{name}" for name in ("samples.npy", "prompts.jsonl", "summary.json")]
    with checksums.written_alone(out, [*names, *own]):
        if not again:
            remove(out, behaviour, split)
        yield


def remove(out: Path, behaviour: str, split: str) -> None:
    """Removes a set, whole or not, of whatever layers: files of two runs never stand side by side."""
    durable.remove(summary_path(out, behaviour, split))
    stem = _stem(behaviour, split)
    left = (path for name in _LAYER_FILES for path in out.glob(f"layer_*/{stem}{name}"))
    killed = (path for name in _LAYER_FILES for path in out.glob(f"layer_*/.{stem}{name}.tmp"))
    for path in (out / f"{stem}samples.npy", prompts_path(out, behaviour, split), *left, *killed):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def full_arrays(
    out: Path, behaviour: str, split: str, layers: Sequence[int], shape: tuple[int, int]
) -> Iterator[Mapping[int, np.ndarray]]:
    """Arrays [n, F] of all values, mapped from files that are there under their names once they are filled.

    Raises:
        DiskFull: there is no space for one of them, which is reserved before anything is computed.
    """
    with contextlib.ExitStack() as files:
        arrays = {}
        for layer in layers:
            path = _place(out, behaviour, split, layer, "full_activations.npy")
            durable.make_folder(path.parent)
            temporary = files.enter_context(durable.replacing(path))
            arrays[layer] = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
            durable.reserve(temporary, arrays[layer].offset)
        yield arrays
        for array in arrays.values():
            array.flush()


def write_layer(out: Path, behaviour: str, split: str, found: LayerFeatures, about: Mapping[str, Any]) -> None:
    """Writes the arrays of a layer and what they are of."""
    arrays = (found.ids, found.values, found.any, found.mean, found.strength)
    for name, array in zip(ARRAYS, arrays, strict=True):
        path = _place(out, behaviour, split, found.layer, f"{name}.npy")
        durable.make_folder(path.parent)
        write_array(path, array.astype(np.float32) if array.dtype == np.float64 else array)
    meta = {**about, **layer_figures(found), "active_any": found.active_any.tolist(),
            "active_mean": found.active_mean.tolist()}  # fmt: skip
    durable.write_bytes(_place(out, behaviour, split, found.layer, "layer_meta.json"), _json(meta))


def layer_figures(found: LayerFeatures, shown: int = 10) -> dict[str, Any]:
    """What a layer's features come to, JSON-ready."""
    order = np.argsort(-found.any, kind="stable")[:shown]
    return {
        "layer": found.layer,
        "features": len(found.any),
        "samples": len(found.ids),
        "top_k": found.ids.shape[1],
        "ever_active": int((found.any > 0).sum()),
        "active_a_token": float(found.active_mean.mean()),
        "active_a_prompt": float(found.active_any.mean()),
        "most_frequent": [{"feature": int(i), "frequency": float(found.any[i])} for i in order if found.any[i] > 0],
    }


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes one .npy whole."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    durable.write_bytes(path, buffer.getvalue())


def write_summary(out: Path, behaviour: str, split: str, samples: np.ndarray, content: Mapping[str, Any]) -> None:
    """Writes which sample is of which token [n, 2], then the summary."""
    write_array(out / f"{_stem(behaviour, split)}samples.npy", samples.astype(np.int32))
    durable.write_bytes(summary_path(out, behaviour, split), _json(content))


def _place(out: Path, behaviour: str, split: str, layer: int, name: str) -> Path:
    return out / f"layer_{layer}" / f"{_stem(behaviour, split)}{name}"


def _stem(behaviour: str, split: str) -> str:
    return f"{behaviour}_{split}_"


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
