"""Representations on disk: a folder with the vectors, the prompts, and what they are.

    representations.npy    float32 [P, D], raw: neither centred nor of unit length
    metadata.jsonl         the prompts in the same order, records that `--prompts` reads, with their labels
    top_logits.parquet     if asked for: the largest logits at every token written
    residuals.zarr/        if asked for: zarr v3, float32 [P, T, D], the stream at all tokens of each prompt
    represent.json         stream, layer, position, the model's fingerprint, counts: written last, the folder is whole

A prompt of the zarr array is a chunk of its own, with a crc32c; what follows its last token is 0, and its length is
`prompt_tokens` of the metadata.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorstore as ts
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.representations import Representations
from causeway.engine.sweep import durable
from causeway.engine.sweep.checksums import check
from causeway.engine.sweep.guard import disk_usage
from causeway.engine.sweep.table import write_table
from causeway.ports.files.foreign import check_file, parsing
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.text_files import CONFIG_BYTES, read_text
from causeway.ports.prompts.prompt_files import read_prompts, write_prompts

VECTORS, METADATA, TOP_LOGITS, ABOUT = "representations.npy", "metadata.jsonl", "top_logits.parquet", "represent.json"
FILES = (VECTORS, METADATA, TOP_LOGITS, ABOUT)
RESIDUALS = "residuals.zarr"
_ADVICE = "give the folder that `represent` wrote"


def remove_representations(folder: Path) -> None:
    """Removes an earlier set, its description first: files of two runs never stand side by side."""
    for name in reversed(FILES):
        durable.remove(folder / name)
    shutil.rmtree(folder / RESIDUALS, ignore_errors=True)


def write_representations(folder: Path, found: Representations, top_logits: pa.Table | None = None) -> None:
    """Write all files but the residuals into a folder that is there."""
    with durable.replacing(folder / VECTORS) as path, path.open("wb") as file:
        np.save(file, found.vectors.astype(np.float32))
    write_prompts(folder / METADATA, found.records)
    if top_logits is not None:
        write_table(folder / TOP_LOGITS, top_logits)
    content = {
        "prompts": len(found.records), "width": found.vectors.shape[1], "stream": found.stream, "layer": found.layer,
        "model_fingerprint": found.fingerprint, "about": scalars.without_nan(dict(found.about)),
    }  # fmt: skip
    durable.write_bytes(folder / ABOUT, (json.dumps(content, indent=1) + "\n").encode())


def read_representations(folder: Path | str) -> Representations:
    """The representations of a folder.

    Raises:
        FileNotFoundError: it has none.
        ValueError: damaged files, files of something else, or of two runs.
    """
    folder = Path(folder)
    content = parse_json(read_text(folder / ABOUT, CONFIG_BYTES, missing=_ADVICE), str(folder / ABOUT))
    path = folder / VECTORS
    for name in (VECTORS, METADATA):
        check_file(folder / name, missing=_ADVICE)
        check(folder / name)
    with parsing(path, "array of numbers", "make it again"):
        vectors = np.load(path, allow_pickle=False)
    try:
        stream, layer, fingerprint = str(content["stream"]), content["layer"], str(content["model_fingerprint"])
        shape, about = (content["prompts"], content["width"]), dict(content["about"])
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"{folder / ABOUT}: does not say what the representations are; {_ADVICE}") from None
    if vectors.shape != shape:
        raise ValueError(f"{path}: has shape {vectors.shape}, but {ABOUT} says {shape}; make the folder again")
    records, _ = read_prompts([folder / METADATA])
    if len(records) != len(vectors):
        raise ValueError(f"{folder}: {len(vectors)} vectors, but {len(records)} prompts; make the folder again")
    layer = None if layer is None else scalars.integer(layer, f"{folder / ABOUT}: layer")
    return Representations(tuple(records), vectors, stream, layer, fingerprint, about)


def check_room(folder: Path, lengths: Sequence[int], width: int) -> int:
    """The most bytes that the residuals take on disk, known to be free.

    Args:
        folder: in which they will be. lengths: tokens of each prompt. width: D.

    Raises:
        ValueError: they do not fit.
    """
    size, free = 4 * len(lengths) * max(lengths) * width, disk_usage(folder).free
    if size > free:
        raise ValueError(
            f"full: the stream at all tokens takes up to {size / 1e9:.3g} GB ({len(lengths)} prompts of {max(lengths)} "
            f"tokens, {width} coordinates), but {free / 1e9:.3g} GB are free; take fewer prompts, or leave it out"
        )
    return size


class ResidualFile:
    """The stream at all tokens of each prompt, written prompt by prompt."""

    def __init__(self, folder: Path, lengths: Sequence[int], width: int):
        """Make the array; arguments as `check_room`."""
        shape = (len(lengths), max(lengths), width)
        chunk = {"name": "regular", "configuration": {"chunk_shape": [1, *shape[1:]]}}
        codecs = [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": 3}}, {"name": "crc32c"},
        ]  # fmt: skip
        metadata = {
            "shape": list(shape), "data_type": "float32", "chunk_grid": chunk, "codecs": codecs,
            "dimension_names": ["prompt", "token", "coordinate"], "attributes": {"lengths": list(lengths)},
        }  # fmt: skip
        store = {"driver": "file", "path": str(folder / RESIDUALS)}
        spec = {"driver": "zarr3", "kvstore": store, "metadata": metadata, "create": True, "delete_existing": True}
        self._array = ts.open(spec).result()

    def __call__(self, number: int, stream: Float[np.ndarray, "T D"]) -> None:
        """Write one prompt."""
        filled = np.zeros(self._array.shape[1:], np.float32)
        filled[: len(stream)] = stream
        self._array[number].write(filled).result()
