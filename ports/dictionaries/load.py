"""`load_dictionaries` and `save_dictionary`: dictionaries of several layers, in and out.

Any published format that ports read (`dictionary_formats`) becomes the one canonical form. The folders may have any
names and lie at any depth; which layer a dictionary belongs to is read from its own files. Weights are opened only
for the layers asked for, and fetched only for them when the reference is on the hub.
"""

import dataclasses
import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from causeway.engine import scalars
from causeway.engine.dictionary.choice import Auto
from causeway.engine.dictionary.dictionary import Dictionary, take
from causeway.engine.dictionary.fit import fitted_config
from causeway.engine.dictionary.placement import Placement, Replicated
from causeway.engine.model.config import PRECISIONS, Precision
from causeway.engine.model.handle import Model, check_model
from causeway.engine.whole_folder import replacing_folder
from causeway.ports.dictionaries import sae_registry
from causeway.ports.dictionaries.formats import fetch_places, open_places
from causeway.ports.dictionaries.llama_scope import hub_reference
from causeway.ports.dictionaries.placed import place_dictionaries
from causeway.ports.dictionaries.restored import open_checkpoint, restore_dictionaries
from causeway.ports.dictionaries.saelens import CONFIG
from causeway.ports.dictionaries.saelens_write import write_folder
from causeway.ports.dictionaries.source import DictionarySource
from causeway.ports.models.checkpoints import is_checkpoint
from causeway.ports.models.site_names import ANY_MODEL, HOOK_OF, SiteNames, names_of


def load_dictionaries(
    reference: str | Path,
    layers: Iterable[int] | int | None = None,
    *,
    for_model: Model | None = None,
    storage: Precision = "float32",
    placement: Placement | Auto = Replicated(),  # noqa: B008 (immutable)
    **options: Any,
) -> Any:
    """Dictionaries of several layers, lowest layer first.

    Args:
        reference: directory of one or many dictionaries, `bundled:NAME`, a hub id in any of its spellings
            (`ports.files.hub`), or `release/sae_id` of SAELens's registry where that package is installed.
        layers: model layers wanted, or one of them; None takes all that are there. Negative ones count from the end
            of `for_model`.
        for_model: read the names of places as this model's, and refuse dictionaries that do not fit it; a warning where
            they were trained with a begin-of-sequence token and the model's text is run without, or the other way.
        storage: dtype of the arrays in memory.
        placement: whole on the devices, split by features, or streamed (`engine.dictionary.placement`); `Auto()` takes
            what fits.
        options: of the format, such as `gating` of Llama Scope or `norm_scaling_factor` of SAELens.

    Returns:
        A `Dictionary` stack; a `CrossLayerTranscoder` where the files hold one; `StreamedDictionaries` if streamed.

    Raises:
        FileNotFoundError: the reference or a weight file is not there.
        ValueError: a layer is not there or there twice, a file is damaged, a dictionary does not fit the model or the
            others, or the format has no such option.
    """
    if not isinstance(reference, str | Path):
        raise ValueError(f"reference: got {scalars.shown(reference)}; needs a directory, bundled:NAME, or a hub id")
    if for_model is not None:
        check_model(for_model)
    dtype = _check_storage(storage)
    sources = open_dictionaries(reference, layers, for_model=for_model, **options)
    if for_model is not None:
        warn_of_bos(sources, for_model)
    if isinstance(placement, Auto):
        placement = _chosen(placement, sources, dtype, for_model)
    if is_checkpoint(Path(reference)):
        return restore_dictionaries(Path(reference), sources, placement, dtype)
    return place_dictionaries(sources, placement, dtype)


def _chosen(auto: Auto, sources: Sequence[DictionarySource], dtype: np.dtype, model: Model | None) -> Placement:
    arrays = [array for source in sources for array in source.arrays.values()]
    weights = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(model and model.transformer))
    cross_layer = any(len(source.arrays["W_dec"].shape) == 3 for source in sources)
    return auto.chosen(
        sum(math.prod(array.shape) for array in arrays) * dtype.itemsize, len(sources), weights, not cross_layer
    )


def open_dictionaries(
    reference: str | Path,
    layers: Iterable[int] | int | None = None,
    *,
    for_model: Model | None = None,
    **options: Any,
) -> list[DictionarySource]:
    """The same dictionaries described, their weights not read; see `load_dictionaries`."""
    wanted = None if layers is None else _check_layers(layers, for_model)
    names = ANY_MODEL if for_model is None else names_of(for_model.config)
    sources = _open(reference, wanted, names, options)
    return sources if for_model is None else [fit_source(source, for_model) for source in sources]


def _open(
    reference: str | Path, wanted: list[int] | None, names: SiteNames, options: Mapping[str, Any]
) -> list[DictionarySource]:
    if is_checkpoint(Path(reference)):
        if options:
            raise ValueError(f"{', '.join(options)}: {reference} was converted already; give options to `convert`")
        return open_checkpoint(Path(reference), wanted)
    name = hub_reference(str(reference))
    registered = None if Path(name).expanduser().exists() or ":" in name else sae_registry.look_up(name)
    if registered is None:
        module, places = fetch_places(name, wanted)
        return open_places(module, places, options, names)
    return _open_registered(registered, wanted, names, options)


def _open_registered(
    entry: sae_registry.RegisteredSae, wanted: list[int] | None, names: SiteNames, options: Mapping[str, Any]
) -> list[DictionarySource]:
    """One dictionary of SAELens's registry."""
    if entry.config_overrides and entry.conversion != sae_registry.PACKAGE:
        raise ValueError(
            f"reference: {entry.release}/{entry.sae_id} is read with corrections to its configuration "
            f"({', '.join(entry.config_overrides)}); download {entry.reference}, correct it, and name that folder"
        )
    module, places = fetch_places(entry.reference, wanted)
    if entry.file:
        places = {layer: place for layer, place in places.items() if place.name == entry.file}
    if entry.norm_scaling_factor is not None:
        # By layer: the registry lists a factor also for dictionaries that were trained without one.
        options = {"norm_scaling_factor": dict.fromkeys(places, entry.norm_scaling_factor), **options}
    if entry.config_overrides:
        options = {"config_overrides": entry.config_overrides, **options}
    return open_places(module, places, options, names)


def save_dictionary(
    directory: Path | str,
    dictionary: Dictionary,
    metadata: Mapping[str, Any] | None = None,
    *,
    storage: str = "float32",
    overwrite: bool = False,
) -> list[Path]:
    """Write a stack as SAELens 6 folders `blocks.{layer}.{hook}`, one a layer; all of them or none.

    Args:
        directory: made if absent; what else is in it stays, so that layers can be written one after the other.
        dictionary: a stack over the layers its configuration names, or one unstacked dictionary.
        metadata: entries for every cfg.json's `metadata` (model_name, ...).
        storage: dtype of the matrices on disk: float32, float16 or bfloat16. Vectors are float32.
        overwrite: replace dictionaries that are already there.

    Returns:
        The folders, in the stack's order.

    Raises:
        FileExistsError: one is there already and `overwrite` is false.
        ValueError: unknown storage, or values that are not finite in it.
    """
    if not isinstance(directory, str | Path):
        raise ValueError(f"directory: got {scalars.shown(directory)}; needs the name of a folder")
    if not isinstance(dictionary, Dictionary):
        raise ValueError(f"dictionary: got {scalars.shown(dictionary)}; needs a stack of dictionaries in memory")
    scalars.truth(overwrite, "overwrite")
    scalars.text(storage, "storage")
    try:
        json.dumps(dict(metadata or {}))
    except (TypeError, ValueError):
        raise ValueError(f"metadata: got {scalars.shown(metadata)}; needs entries by name that JSON can hold") from None
    config = dictionary.config
    hook = HOOK_OF.get(config.stream, config.stream)
    folders = [Path(directory) / f"blocks.{layer}.{hook}" for layer in config.layers]
    for folder in folders:
        if (folder / CONFIG).exists() and not overwrite:
            raise FileExistsError(f"{folder}: already there; name another directory or pass overwrite=True")
    stacked = dictionary.W_enc[...].ndim == 3
    with replacing_folder(directory) as partial:
        for index, (layer, folder) in enumerate(zip(config.layers, folders, strict=True)):
            one = take(dictionary, index) if stacked else dictionary
            write_folder(partial / folder.name, one, layer, metadata or {}, storage)
    return folders


def fit_source(source: DictionarySource, model: Model) -> DictionarySource:
    """A dictionary of a model, its streams under the model's names.

    Raises:
        ValueError: its layer does not exist in the model, or a stream it reads or writes is not there or has another
            width.
    """
    origin = f" (trained on {source.model_name})" if source.model_name else ""
    if source.centred and model.config.norm != "layer":
        raise ValueError(
            f"{source.where}: was trained on a centred stream{origin}, which models with RMS norms such as "
            f"{model.name} do not have; use a dictionary of this model"
        )
    config = fitted_config(
        source.config, source.d_in, source.d_out, model.config, str(source.where), model.name, origin
    )
    return dataclasses.replace(source, config=config)


def _check_storage(storage: str) -> jnp.dtype:
    if storage not in PRECISIONS:
        raise ValueError(f"storage: got {storage!r}; needs one of {', '.join(PRECISIONS)}")
    if storage == "float64" and not jax.config.read("jax_enable_x64"):
        raise ValueError("storage: float64 needs jax's 64-bit mode; set JAX_ENABLE_X64=1")
    return jnp.dtype(storage)


def _check_layers(layers: Iterable[int] | int, model: Model | None) -> list[int]:
    """Layers as whole numbers from 0 on; negative ones count from the end of a model."""
    given = list(layers) if isinstance(layers, Iterable) else [layers]
    if model is None:
        wanted = [scalars.integer(layer, "layers", -scalars.INT32_MAX) for layer in given]
        if wanted and min(wanted) < 0:
            raise ValueError(
                f"layers: got {min(wanted)}, which counts from the end of a model; name it (for_model=...)"
            )
    else:
        wanted = [scalars.layer(layer, model.config.num_layers, "layers") for layer in given]
    if not wanted or len(set(wanted)) != len(wanted):
        raise ValueError(f"layers: got {given}; name at least one layer, each once, or leave it out for all")
    return wanted


def trained_with_bos(source: DictionarySource) -> bool | None:
    """What a dictionary's own files say; None where they do not."""
    said = source.card.get("prepend_bos")
    return said if isinstance(said, bool) else None


def warn_of_bos(sources: Sequence[DictionarySource], model: Model) -> None:
    """Warn, in one line, where dictionaries were trained the other way than the model's text is run.

    Features at and near the first token differ much with and without BOS, and nothing else tells.
    """
    other = next((s for s in sources if trained_with_bos(s) not in (None, model.prepend_bos)), None)
    if other is None or model.tokenizer is None:
        return
    trained, runs = ("with", "without") if trained_with_bos(other) else ("without", "with")
    do = f"--bos={'no' if model.prepend_bos else 'yes'} (prepend_bos={not model.prepend_bos}) runs text as it was"
    if model.tokenizer.bos_id is None:
        do = "its tokenizer has none, so give token ids that begin as it was trained"
    warnings.warn(
        f"{other.where}: trained on text {trained} a begin-of-sequence token, but {model.name} is run {runs} it; {do}",
        stacklevel=3,
    )
