"""Directions on disk: a folder with the vectors and what they are.

    directions.npy     [R, D]
    directions.json    names, stream, layer, the model's fingerprint, and how they were made

The JSON is written last: with it the directions are whole.
"""

import json
from pathlib import Path

import numpy as np

from causeway.engine import scalars
from causeway.engine.directions import Directions
from causeway.engine.sweep import durable
from causeway.engine.sweep.checksums import check
from causeway.ports.files.foreign import check_file, parsing
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.text_files import CONFIG_BYTES, read_text

VECTORS, ABOUT = "directions.npy", "directions.json"
FILES = (VECTORS, ABOUT)
_ADVICE = "give the folder that `direction` wrote"


def write_directions(folder: Path, directions: Directions) -> None:
    """Write both files into a folder that is there."""
    with durable.replacing(folder / VECTORS) as path, path.open("wb") as file:
        np.save(file, directions.vectors)
    content = {
        "names": directions.names, "stream": directions.stream, "layer": directions.layer,
        "model_fingerprint": directions.fingerprint, "about": scalars.without_nan(dict(directions.about)),
    }  # fmt: skip
    durable.write_bytes(folder / ABOUT, json.dumps(content, indent=1).encode())


def read_directions(folder: Path | str) -> Directions:
    """The directions of a folder.

    Raises:
        FileNotFoundError: it has none.
        ValueError: damaged files, or files of something else.
    """
    folder = Path(folder)
    path = folder / VECTORS
    content = parse_json(read_text(folder / ABOUT, CONFIG_BYTES, missing=_ADVICE), str(folder / ABOUT))
    check_file(path, missing=_ADVICE)
    check(path)
    with parsing(path, "array of numbers", "make it again"):
        vectors = np.load(path, allow_pickle=False)
    try:
        names, stream, layer = tuple(map(str, content["names"])), str(content["stream"]), content["layer"]
        fingerprint, about = str(content["model_fingerprint"]), dict(content["about"])
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"{folder / ABOUT}: does not say what the directions are; {_ADVICE}") from None
    layer = None if layer is None else scalars.integer(layer, f"{folder / ABOUT}: layer")
    return Directions(names, vectors, stream, layer, fingerprint, about)
