"""Decompositions on disk, under the names of the original study's quantities.

    decomposition_layer_{l}.json   {neuron: [[index, coefficient, "text"], ...]}, the largest |coefficient| first
    decomposition_layer_{l}.npz    the coefficients [neurons of the layer, texts] as `scipy.sparse.load_npz` reads them,
                                   a row for each neuron's number; beside them neuron [M], and in the order in which
                                   atoms were taken atom (-1: none), coefficient, cosine and null_cosine [M, S];
                                   and reconstruction [M, D], the component as the texts have it
    neurons.parquet                a row a neuron
    lexicon.jsonl                  {"text"} a line, in the order of the indices
    decompose.json                 what they are, and figures of each layer; written last

With _as_published after {l}: the same over the original's own dictionary.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from scipy import sparse

from causeway.engine import scalars
from causeway.engine.components import Components
from causeway.engine.sweep import durable
from causeway.engine.sweep.checksums import check
from causeway.engine.sweep.table import write_table
from causeway.ports.files.foreign import check_file, parsing
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.jsonl import read_lines
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.files.text_files import CONFIG_BYTES, read_text

ABOUT, NEURONS, LEXICON, PUBLISHED = "decompose.json", "neurons.parquet", "lexicon.jsonl", "_as_published"
_ADVICE = "give the folder that `decompose` wrote"


def names(layers: Sequence[int], published: bool = False) -> list[str]:
    """Files of a folder, relative to it."""
    stems = [_stem(layer, suffix) for layer in layers for suffix in (["", PUBLISHED] if published else [""])]
    return [*(f"{stem}.{kind}" for stem in stems for kind in ("json", "npz")), NEURONS, LEXICON, ABOUT]


def remove_decompositions(folder: Path) -> None:
    """Remove what an earlier run has left, perhaps of other layers."""
    for path in [folder / ABOUT, *sorted(folder.glob("decomposition_layer_*")), folder / NEURONS, folder / LEXICON]:
        durable.remove(path)


def write_layer(
    folder: Path,
    layer: int,
    neuron: Int[np.ndarray, " M"],
    entries: Sequence[Sequence[tuple[int, float, str]]],
    shape: tuple[int, int],
    arrays: Mapping[str, Float[np.ndarray, "M ..."] | Int[np.ndarray, "M ..."]],
    suffix: str = "",
) -> None:
    """Write one layer.

    Args:
        folder: that is there. layer: its number. neuron: [M].
        entries: (index, coefficient, text) of each neuron's atoms, as they are to stand.
        shape: neurons of the layer, and texts of the lexicon.
        arrays: atom, coefficient and what else goes with each of them, and the reconstruction.
        suffix: of the names.
    """
    content = {str(n): [list(entry) for entry in found] for n, found in zip(neuron, entries, strict=True)}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    durable.write_bytes(folder / f"{_stem(layer, suffix)}.json", text.encode())
    row, step = np.nonzero(arrays["atom"] >= 0)
    places = np.asarray(neuron)[row], arrays["atom"][row, step]
    codes = sparse.csr_array((arrays["coefficient"][row, step], places), shape)
    stored: dict[str, Any] = {
        "data": codes.data, "indices": codes.indices, "indptr": codes.indptr, "shape": codes.shape, "format": b"csr",
        "neuron": np.asarray(neuron, np.int32), **arrays,
    }  # fmt: skip
    with durable.replacing(folder / f"{_stem(layer, suffix)}.npz") as path, path.open("wb") as file:
        np.savez(file, **stored)


def read_reconstructions(
    folder: Path | str, components: Components, suffix: str = ""
) -> Float[np.ndarray, "M D"] | None:
    """Each component as its texts have it, 0 of one that does not vary; None where the folder has none of this name.

    Args:
        folder: that `decompose` wrote. components: of one layer. suffix: of the names.

    Raises:
        ValueError: damaged files, or a neuron that varies and has no decomposition there.
    """
    path = Path(folder) / f"{_stem(components.layer, suffix)}.npz"
    if suffix and not path.exists():
        return None
    check_file(path, missing="give the folder that `decompose` wrote of these components")
    check(path)
    with parsing(path, "archive of arrays", "make it again"), np.load(path, allow_pickle=False) as archive:
        there = {name: archive[name] for name in ("neuron", "reconstruction") if name in archive.files}
    if len(there) < 2:
        raise ValueError(f"{path}: has no reconstructions; make it again with `decompose`")
    neuron, made = there["neuron"], there["reconstruction"]
    place = {int(number): row for row, number in enumerate(neuron)}
    wanted = components.neuron[components.varies].tolist()
    if missing := [number for number in wanted if number not in place]:
        raise ValueError(
            f"{path}: has no decomposition of {components.layer}:{missing[0]} ({len(missing)} of {len(wanted)} have "
            "none); decompose all of these components"
        )
    found = np.zeros(components.component.shape, np.float32)
    found[components.varies] = made[[place[number] for number in wanted]]
    return found


def write_summary(folder: Path, neurons: pa.Table, about: Mapping[str, Any]) -> None:
    """Write the table of neurons, then what all of it is."""
    write_table(folder / NEURONS, neurons)
    text = json.dumps(scalars.without_nan(dict(about)), indent=1, ensure_ascii=False, allow_nan=False)
    durable.write_bytes(folder / ABOUT, (text + "\n").encode())


def read_words(folder: Path | str) -> tuple[str, dict[tuple[int, int], str]]:
    """What a folder of `decompose` says of each neuron (layer, number): its words, those of negative weight after a -.

    Returns:
        The fingerprint of the model's weights, and the words.

    Raises:
        FileNotFoundError: it has no decompositions.
        ValueError: a damaged file, or one of something else.
    """
    folder = Path(folder)
    about = parse_json(read_text(folder / ABOUT, CONFIG_BYTES, missing=_ADVICE), str(folder / ABOUT))
    table = read_parquet(folder / NEURONS, missing=_ADVICE)
    wanted = ("layer", "neuron", "words")
    if "model_fingerprint" not in about or set(wanted) - set(table.column_names):
        raise ValueError(f"{folder}: does not hold words of neurons; {_ADVICE}")
    layer, neuron, words = (table[name].to_pylist() for name in wanted)
    return str(about["model_fingerprint"]), dict(zip(zip(layer, neuron, strict=True), words, strict=True))


def read_entries(folder: Path | str) -> tuple[dict[int, dict[int, list[tuple[int, float, str]]]], str]:
    """(index, coefficient, text) of each neuron's texts by layer and neuron, and the model's fingerprint.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no decomposition, a damaged file, or one of something else.
    """
    folder = Path(folder)
    about = _parsed(folder / ABOUT)
    try:
        fingerprint, layers = str(about["model_fingerprint"]), [int(layer["layer"]) for layer in about["layers"]]
        found = {layer: _entries(folder / f"{_stem(layer)}.json") for layer in layers}
    except (AttributeError, KeyError, TypeError):
        raise ValueError(f"{folder / ABOUT}: does not say what the decompositions are; {_ADVICE}") from None
    return found, fingerprint


def _entries(path: Path) -> dict[int, list[tuple[int, float, str]]]:
    content = _parsed(path)
    try:
        return {
            int(neuron): [(int(index), scalars.real(number, "coefficient"), str(text)) for index, number, text in own]
            for neuron, own in content.items()
        }
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"{path}: needs neurons with lists of [index, coefficient, text]; {_ADVICE}") from None


def _parsed(path: Path) -> Any:
    text = read_text(path, missing=_ADVICE)
    check(path)
    return parse_json(text, str(path))


def read_decomposed(folder: Path | str, layer: int) -> dict[str, np.ndarray] | None:
    """What a folder has of the neurons of a layer; None where it has none of the layer.

    Returns:
        neuron [M], coefficient [M, S], cosine [M, S] and reconstruction [M, D].

    Raises:
        ValueError: damaged files.
    """
    path, names = Path(folder) / f"{_stem(layer)}.npz", ("neuron", "coefficient", "cosine", "reconstruction")
    if not path.exists():
        return None
    check(path)
    with parsing(path, "archive of arrays", "make it again"), np.load(path, allow_pickle=False) as archive:
        found = {name: archive[name] for name in names if name in archive.files}
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{path}: has no {missing[0]}; make it again with `decompose`")
    return found


def read_lexicon(folder: Path | str) -> tuple[str, int, list[str]]:
    """The lexicon of a folder: what its vectors are (`Lexicon.kind`), the most words of a neuron, and the texts.

    Raises:
        FileNotFoundError: it has no decompositions.
        ValueError: a damaged file, or one of something else.
    """
    folder = Path(folder)
    about = _parsed(folder / ABOUT)
    texts = read_lines(folder / LEXICON, lambda record: str(record["text"])).items
    if "kind" not in about or "atoms" not in about:
        raise ValueError(f"{folder}: does not say what its words are; {_ADVICE}")
    return str(about["kind"]), scalars.integer(about["atoms"], f"{folder / ABOUT}: atoms", 1), list(texts)


def _stem(layer: int, suffix: str = "") -> str:
    return f"decomposition_layer_{layer}{suffix}"
