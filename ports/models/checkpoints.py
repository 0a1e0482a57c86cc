"""Converted models and dictionaries: directories that restore straight onto a mesh, in any dtype.

    causeway.json     what it is: kind, configuration, stored dtype, where it came from
    arrays/           a model's parameters (Orbax)
    layer_NNNNN/      a dictionary's arrays, one folder a layer (Orbax)
    causeway.sha256    of every file, written last (`engine.sweep.checksums`)
    config.json, generation_config.json, tokenizer files: a model's, as they were

A directory is made under the name `NAME.partial` and renamed when all of it is there. A killed conversion of
dictionaries goes on with the first layer that is missing, if it is the same conversion. Files are read against their
checksums before anything of them is used: of dictionaries those of the layers wanted.

Cost: a model is in memory while it is converted; of dictionaries one layer.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from causeway.engine.dictionary.placement import Replicated
from causeway.engine.model.capacity import check_fits
from causeway.engine.model.config import ModelConfig, Numerics, RopeScaling
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import Where, parameter_name, place_abstract
from causeway.engine.model.quantised import check_floats
from causeway.engine.model.transformer import Transformer, abstract_transformer
from causeway.engine.model.unrolled import joined
from causeway.engine.saved_arrays import restore_arrays, save_arrays
from causeway.engine.sweep import durable
from causeway.engine.sweep.checksums import SealedFolder, seal
from causeway.engine.whole_folder import replacing_folder
from causeway.ports.dictionaries.placed import place_layer
from causeway.ports.dictionaries.source import DictionarySource
from causeway.ports.files.config_fields import read_json
from causeway.ports.models.model_files import files_of

ABOUT, ARRAYS = "causeway.json", "arrays"
# What a converted directory holds, by kind. Models of version 1 have query, key and value maps apart.
VERSIONS = {"model": 2, "dictionaries": 1}
REMEDY = "convert it again"


def is_checkpoint(directory: Path) -> bool:
    """Whether a directory is a finished conversion."""
    return (directory / ABOUT).is_file() and directory.suffix != ".partial"


def open_sealed(directory: Path) -> SealedFolder:
    """A checkpoint's checksums; the files beside its arrays are checked, the arrays are not yet.

    Raises:
        ValueError: a file is damaged.
    """
    sealed = SealedFolder(directory, REMEDY)
    sealed.check(lambda name: "/" not in name)
    return sealed


def read_about(directory: Path, kind: str) -> dict[str, Any]:
    """What a checkpoint, opened before, says of itself.

    Raises:
        ValueError: it is of another kind or version.
    """
    about = read_json(directory / ABOUT)
    if about.get("version") != VERSIONS[kind] or about.get("kind") != kind:
        raise ValueError(
            f"{directory / ABOUT}: is a {about.get('kind')!r} of version {about.get('version')!r}; "
            f"needs a {kind!r} of version {VERSIONS[kind]}; {REMEDY}"
        )
    return about


def save_checkpoint(
    out: Path, model: Model, source: Path, check: Callable[[Path], None] = lambda partial: None
) -> None:
    """Write a loaded model, in floats, as a checkpoint.

    Args:
        out: the directory to make. model: as loaded, in the dtype to be stored.
        source: the directory or GGUF file it was loaded from, whose tokenizer and config.json are copied.
        check: looks at the checkpoint before it gets its name; what it raises leaves nothing under that name.

    Raises:
        FileExistsError: `out` is there already. ValueError: its weights are in 8 bits.
    """
    _refuse_existing(out)
    check_floats(model.numerics)
    leaves = jax.tree_util.tree_leaves_with_path(joined(model.transformer))
    about = {
        "kind": "model", "config": dataclasses.asdict(model.config), "storage": model.numerics.storage,
        "name": model.name, "source": model.fingerprint, "prepend_bos": model.prepend_bos,
    }  # fmt: skip
    with replacing_folder(out) as partial:
        save_arrays(partial / ARRAYS, {parameter_name(path): leaf for path, leaf in leaves})
        files = files_of(source)
        for name in files.beside_weights():
            (partial / name).write_bytes(files.read(name))
        _write_about(partial, about)
        seal(partial)
        check(partial)


def restore_transformer(directory: Path, numerics: Numerics, where: Where) -> tuple[Transformer, str]:
    """The parameters of a converted model, and its fingerprint.

    Args:
        directory: the checkpoint. numerics: dtypes in memory. where: see `engine.model.placement`.

    Raises:
        ValueError: damaged, or not a model.
    """
    if numerics.storage == "int8":
        raise ValueError(
            f"storage: got int8, but {directory} is converted, and is read by the devices as it is stored; load the "
            "files that it was converted from"
        )
    open_sealed(directory).check()
    about = read_about(directory, "model")
    given, scaling = about["config"], about["config"]["rope_scaling"]
    given |= {
        "rope_scaling": RopeScaling(**scaling | {"divisors": tuple(scaling.get("divisors", ()))}),
        "windows": tuple(given["windows"]),
    }
    config = ModelConfig(**given)
    check_fits(config, numerics, where)
    abstract = place_abstract(abstract_transformer(config, numerics), where)
    named = {parameter_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(abstract)}
    arrays = restore_arrays(directory / ARRAYS, named)
    identity = json.dumps([about["source"], about["storage"]])
    transformer = jax.tree.unflatten(jax.tree.structure(abstract), [arrays[name] for name in named])
    return transformer, hashlib.sha256(identity.encode()).hexdigest()


def save_dictionaries(out: Path, sources: Sequence[DictionarySource], storage: np.dtype) -> None:
    """Write described dictionaries as a checkpoint, one layer in memory at a time.

    Args:
        out: the directory to make. sources: one a layer. storage: the stored dtype.

    Raises:
        FileExistsError: `out` is there already.
        ValueError: a file is damaged.
    """
    _refuse_existing(out)
    about = {
        "kind": "dictionaries", "storage": storage.name, "layers": [_described(source) for source in sources],
        "files": [_stamp(file) for source in sources for file in source.files],
    }  # fmt: skip
    with replacing_folder(out, resume=True) as partial:
        if not _continues(partial, about):
            shutil.rmtree(partial)
            partial.mkdir()
            _write_about(partial, about)
        for left in partial.glob("*.partial*"):
            shutil.rmtree(left)
        for source in sources:
            folder = partial / layer_folder(source.layer)
            if not folder.exists():
                save_arrays(folder, place_layer(source, Replicated(), storage))
        seal(partial)


def layer_folder(layer: int) -> str:
    """Name of a layer's folder."""
    return f"layer_{layer:05d}"


def _described(source: DictionarySource) -> dict[str, Any]:
    return {
        "config": dataclasses.asdict(source.config), "format": source.format, "model_name": source.model_name,
        "value_scale": source.value_scale, "centred": source.centred,
        "card": json.loads(json.dumps(dict(source.card), default=str)),
        "feature_axes": {name: array.feature_axis for name, array in source.arrays.items()},
        "shapes": {name: list(array.shape) for name, array in source.arrays.items()},
    }  # fmt: skip


def _stamp(file: Path) -> list[Any]:
    status = file.stat()
    return [str(file), status.st_size, status.st_mtime_ns]


def _continues(partial: Path, about: Mapping[str, Any]) -> bool:
    """Whether an interrupted conversion is the same one."""
    if not (partial / ABOUT).is_file():
        return False
    return read_json(partial / ABOUT) == json.loads(json.dumps(_versioned(about)))


def _versioned(about: Mapping[str, Any]) -> dict[str, Any]:
    return {"version": VERSIONS[about["kind"]], **about}


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise FileExistsError(f"{out}: already there; name another directory, or remove it")


def _write_about(directory: Path, about: Mapping[str, Any]) -> None:
    text = json.dumps(_versioned(about), indent=2) + "\n"
    durable.write_bytes(directory / ABOUT, text.encode())
