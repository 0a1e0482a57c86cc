"""Which published format a folder of dictionaries has, and where each layer of it lies.

A format is one module of ports with `NAME`, `PATTERNS` (glob patterns of what has to be there to recognise it), `find`
(layer -> the path that stands for it), `weights` (names beside that path that have to be there to open it) and
`open_source`, which takes `names` where the files hold names of places, to read them as those of the model. Adding one
is writing such a module and naming it in `FORMATS`; the first one that finds something in a folder is the folder's.
"""

import inspect
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from causeway.ports.dictionaries import (
    circuit_tracer,
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    goodfire,
    llama_scope,
    llamascopium,
    openai_gpt2,
    qwen_scope,
    saelens,
    sparsify,
)
from causeway.ports.dictionaries.source import DictionarySource
from causeway.ports.files.foreign import interpreting
from causeway.ports.files.hub import resolve
from causeway.ports.files.tensor_checks import listed
from causeway.ports.models.site_names import ANY_MODEL, SiteNames

FORMATS: tuple[ModuleType, ...] = (
    saelens, llama_scope, llamascopium, circuit_tracer, gemma_scope, gemma_scope_2, openai_gpt2, sparsify,
    dictionary_learning, qwen_scope, goodfire,
)  # fmt: skip
BUNDLED_FOLDER = "saes"
WEIGHT_SUFFIXES = (".pt", ".pth", ".npz", ".safetensors")

Places = dict[int, Path]


def find_places(directory: Path) -> tuple[ModuleType, Places]:
    """The format of a folder and the place of each layer in it.

    Raises:
        FileNotFoundError: no format finds a dictionary.
        ValueError: a layer is there twice, or a configuration is not understood.
    """
    root = _root(directory)
    for module in FORMATS:
        with interpreting(root, f"folder of {module.NAME} dictionaries"):
            places = module.find(root)
        if places:
            return module, places
    names = sorted(path.name for path in root.iterdir())
    raise FileNotFoundError(
        f"{root}: no dictionary in it that is read here ({', '.join(module.NAME for module in FORMATS)}); "
        f"it holds {listed(names) or 'nothing'}"
    )


def fetch_places(reference: str, wanted: Collection[int] | None) -> tuple[ModuleType, Places]:
    """The same for a reference, with the weights of the layers wanted on this machine.

    Configurations come first and show which weights are needed; then both are asked for together, because a branch
    may have moved meanwhile, and weights and configuration have to be of one revision.

    Args:
        reference: see `ports.files.hub`. wanted: layers, None for all.

    Raises:
        FileNotFoundError: not there, not in the cache and not to be fetched, or no dictionary.
        ValueError: a layer wanted is not there, or a layer is there twice.
    """
    directory = _fetch_configurations(reference, wanted)
    module, places = _chosen(directory, wanted)
    root = directory.resolve()
    missing = {layer: place for layer, place in places.items() if not _has_weights(module, place)}
    if not missing:
        return module, places
    files = [_inside(path, directory, root) for place in missing.values() for path in _files(module, place)]
    fetched = resolve(
        reference, [*_configurations(module), *files], lambda path: all((path / name).is_file() for name in files)
    )
    return _chosen(fetched, wanted)


def open_places(
    module: ModuleType, places: Mapping[int, Path], options: Mapping[str, Any], names: SiteNames = ANY_MODEL
) -> list[DictionarySource]:
    """Every layer described, lowest first.

    Args:
        module: the format. places: as found. options: of the format, such as `gating`. names: by which the model
            calls its places.

    Raises:
        ValueError: the format has no such option, or a file is damaged.
    """
    known = list(inspect.signature(module.open_source).parameters)[1:]
    given = {"names": names} if "names" in known else {}
    known = [name for name in known if name not in given]
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(
            f"{', '.join(unknown)}: {module.NAME} dictionaries have no such option; "
            f"they have {', '.join(known) or 'none'}"
        )
    return [_open(module, places[layer], {**given, **options}) for layer in sorted(places)]


def _open(module: ModuleType, place: Path, options: Mapping[str, Any]) -> DictionarySource:
    with interpreting(place, f"{module.NAME} dictionary"):
        return module.open_source(place, **options)


def _chosen(directory: Path, wanted: Collection[int] | None) -> tuple[ModuleType, Places]:
    """The places of the layers wanted."""
    module, places = find_places(directory)
    missing = sorted(set(wanted or ()) - set(places))
    if missing:
        raise ValueError(f"layers: {_root(directory)} has no dictionary for {listed(missing)}; it has {sorted(places)}")
    return module, {layer: places[layer] for layer in sorted(places if wanted is None else wanted)}


def _fetch_configurations(reference: str, wanted: Collection[int] | None) -> Path:
    """The folder with what its format is recognised by; for formats without configurations that is the weights."""
    patterns = sorted({pattern for module in FORMATS for pattern in _configurations(module)})
    by_weights = {p for module in FORMATS for p in module.PATTERNS if p.endswith(WEIGHT_SUFFIXES)}

    def holds(directory: Path) -> bool:
        try:
            _, places = find_places(directory)
        except FileNotFoundError:
            return False
        return wanted is None or set(wanted) <= set(places)

    try:
        return resolve(reference, patterns, holds)
    except FileNotFoundError:
        return resolve(reference, sorted(_of_layers(by_weights, wanted)), holds)


def _of_layers(patterns: Iterable[str], wanted: Collection[int] | None) -> set[str]:
    """Patterns of weight files for some layers: the last star of such a pattern stands for the layer."""
    if wanted is None:
        return set(patterns)
    return {str(layer).join(pattern.rsplit("*", 1)) for pattern in patterns for layer in wanted}


def _configurations(module: ModuleType) -> list[str]:
    return [pattern for pattern in module.PATTERNS if not pattern.endswith(WEIGHT_SUFFIXES)]


def _files(module: ModuleType, place: Path) -> list[Path]:
    """What a layer is opened from."""
    return [place, *(place.parent / name for name in _weights(module, place))]


def _has_weights(module: ModuleType, place: Path) -> bool:
    return all((place.parent / name).is_file() for name in _weights(module, place))


def _weights(module: ModuleType, place: Path) -> list[str]:
    with interpreting(place, f"{module.NAME} dictionary"):
        return module.weights(place)


def _inside(path: Path, directory: Path, root: Path) -> str:
    """A path relative to the folder of the reference; formats may have resolved it."""
    return str(path.relative_to(root if path.is_relative_to(root) else directory))


def _root(directory: Path) -> Path:
    """A bundled model keeps its dictionaries beside its weights."""
    return directory / BUNDLED_FOLDER if (directory / BUNDLED_FOLDER).is_dir() else directory
