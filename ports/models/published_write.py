"""A loaded model written as a Hugging Face folder, neurons of its MLPs scaled where that is asked for.

Scaling a neuron's activation by k at all tokens is scaling its row of the MLP's output map (`engine.scaled_neurons`):
w_n <- k w_n, biases untouched. Where the row is in a published tensor, and how that lies, is what the family's name map
says; it is read here backwards, so every family that is read is written.

    from a Hugging Face folder   its files are copied and the rows changed where they lie in the copies: names, shards,
                                 layout and dtype are the source's, and every other byte is
    from a GGUF file or a        configuration and tokenizer as they are translated or kept there, and one file of the
    converted checkpoint         tensors under their published names, in the dtype in which the model was loaded

    edit.json                    what was scaled by how much, of which model, and what rounding changed

`load_model` reads the folder, and transformers does. Cost: the source's files are read and written once; of other
sources the weights are in memory twice.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from causeway.engine import scalars
from causeway.engine.intervention.requests import AnyEdit
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.handle import Model, check_model
from causeway.engine.model.quantised import check_floats
from causeway.engine.scaled_neurons import OUTPUT_MAP, ScaledNeurons, scaled_rows
from causeway.engine.whole_folder import replacing_folder
from causeway.ports.files.safetensors_files import (
    INDEX,
    WEIGHTS,
    changed_in_place,
    open_directory,
    weight_files,
    write_tensors,
)
from causeway.ports.models.checkpoints import is_checkpoint
from causeway.ports.models.families import FAMILIES
from causeway.ports.models.load import model_directory, open_weights
from causeway.ports.models.model_files import files_of, gguf_in
from causeway.ports.models.tokenizer import OTHER_FORMATS
from causeway.ports.models.weights import TensorMap, export_tensors

EDIT = "edit.json"
# What other programs' tokenizers are made of, and the terms under which a model is given.
COPIED = (*OTHER_FORMATS, "merges.txt", "added_tokens.json", "LICENSE", "LICENSE.txt", "LICENSE.md")


def save_model(model: Model, folder: Path | str, edits: Sequence[AnyEdit], *, overwrite: bool = False) -> Path:
    """Write a model as a Hugging Face folder that gives the same logits as the model run with the edits.

    Args:
        model: as `load_model` gave it, its files unchanged since.
        folder: made, whole or not at all.
        edits: edits that multiply neurons' activations at all tokens, such as
            `UnitEdit(layer=1, unit=5, operation="scale", value=2.0, stream="mlp_act")`.
        overwrite: write into a folder that is there; weights in it are replaced, other files stay.

    Returns:
        The folder.

    Raises:
        FileExistsError: the folder is there and `overwrite` is false.
        FileNotFoundError, ValueError: what the model was loaded from is gone, or has changed.
        ValueError: weights in 8 bits, an edit that is none of weights, a row that is not finite in the stored dtype, or
            a folder that is the model's own.
    """
    check_model(model)
    check_floats(model.numerics)
    if not isinstance(folder, str | Path):
        raise ValueError(f"folder: got {scalars.shown(folder)}; needs the name of a folder to write")
    folder, scaled = Path(folder), ScaledNeurons.of_edits(edits, model)
    changes = _Change.all_of(scaled, model.config)
    check_folder(folder, model, scalars.truth(overwrite, "overwrite"))
    source, fingerprint = model_directory(model.name), model.fingerprint
    with replacing_folder(folder, _is_weights) as partial:
        files = files_of(source)
        for name in dict.fromkeys([*files.beside_weights(), *filter(files.has, COPIED)]):
            (partial / name).write_bytes(files.read(name))
        write = _copied if gguf_in(source) is None and not is_checkpoint(source) else _exported
        rounding = write(source, partial, model, changes)
        about = {"source": model.name, "source_fingerprint": fingerprint, "dtypes": _dtypes(partial)}
        text = json.dumps({"neurons": _listed(scaled), **about, "rounding": rounding}, indent=2) + "\n"
        (partial / EDIT).write_text(text, encoding="utf-8")
    return folder


def check_folder(folder: Path, model: Model, overwrite: bool) -> None:
    """Refuse a folder that `save_model` would refuse.

    Raises:
        FileExistsError, FileNotFoundError, ValueError: see `save_model`.
    """
    if folder.exists() and not overwrite:
        raise FileExistsError(f"{folder}: is there already; name another folder, or overwrite it")
    source = model_directory(model.name)
    home = Path(os.path.realpath(source if source.is_dir() else source.parent))
    if home.is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"{folder}: is where {model.name} was loaded from; name another folder")


def _is_weights(entry: Path) -> bool:
    """What an earlier model in the folder was made of."""
    return entry.match("model*.safetensors") or entry.name in (INDEX, EDIT)


def _listed(scaled: ScaledNeurons) -> list[dict[str, Any]]:
    columns = scaled.neurons.layer.tolist(), scaled.neurons.neuron.tolist(), scaled.factor.tolist()
    return [{"layer": layer, "neuron": neuron, "factor": k} for layer, neuron, k in zip(*columns, strict=True)]


def _dtypes(folder: Path) -> list[str]:
    """Dtypes of the tensors written, whose names and shapes are those of the model that config.json describes."""
    return sorted({tensor.dtype.name for tensor in open_weights(folder).tensors.values()})


def _copied(source: Path, partial: Path, model: Model, changes: Sequence["_Change"]) -> float:
    """The source's own weight files with rows changed in place; the most that rounding changed a row by."""
    for file in weight_files(open_directory(source)):
        shutil.copyfile(file, partial / file.name)
    if not (source / WEIGHTS).is_file():
        shutil.copyfile(source / INDEX, partial / INDEX)
    tensors, lost = open_weights(partial).tensors, [0.0]
    for change in changes:
        tensor = tensors[change.tensor]
        with changed_in_place(tensor.file, tensor.name) as published:
            lost.append(change.made(published))
    return max(lost)


def _exported(source: Path, partial: Path, model: Model, changes: Sequence["_Change"]) -> float:
    """The tensors of the model in memory with rows scaled; the most that rounding changed a row by."""
    tensors = export_tensors(
        model.transformer, FAMILIES[model.config.family].name_map(model.config), model.numerics.storage
    )
    lost = [change.made(tensors[change.tensor]) for change in changes]
    write_tensors(partial / WEIGHTS, tensors, {"format": "pt"})
    return max([0.0, *lost])


@dataclasses.dataclass(frozen=True)
class _Change:
    """Rows of one layer to be scaled.

    Attributes:
        tensor: the published tensor that holds them. entry: how it lies there. shape: of the parameter, (N, D).
        layer, neurons, factor: which rows, and by how much.
    """

    tensor: str
    entry: TensorMap
    shape: tuple[int, int]
    layer: int
    neurons: Int[np.ndarray, " m"]
    factor: Float[np.ndarray, " m"]

    @classmethod
    def all_of(cls, scaled: ScaledNeurons, config: ModelConfig) -> list["_Change"]:
        """A change for each layer that has scaled neurons."""
        [entry] = [entry for entry in FAMILIES[config.family].name_map(config) if entry.parameter == OUTPUT_MAP]
        names, shape = entry.names(config), (config.d_ff, config.d_model)
        return [cls(names[layer], entry, shape, layer, *scaled.of(layer)) for layer in scaled.neurons.layers]

    def made(self, published: np.ndarray) -> float:
        """Scale the rows in place; the greatest change by rounding, as a share of its row's greatest number.

        Raises:
            ValueError: a row is not finite in the stored dtype.
        """
        rows = self.entry.view(published, self.shape)
        with np.errstate(over="ignore"):
            exact = rows[self.neurons].astype(np.float64) * self.factor[:, None]
            rows[self.neurons] = written = scaled_rows(rows[self.neurons], self.factor)
        found = written.astype(np.float64)
        if (broken := ~np.isfinite(found).all(axis=1)).any():
            at = int(broken.argmax())
            raise ValueError(
                f"edits: neuron {self.layer}:{self.neurons[at]} times {self.factor[at]:g} is not finite in "
                f"{published.dtype.name}, the dtype of its weights; scale it by less"
            )
        largest = np.abs(exact).max(axis=1)
        return float(np.max(np.abs(found - exact).max(axis=1) / np.where(largest > 0, largest, 1)))
