"""Where a published dictionary belongs: the streams it reads and writes, and one place on disk for each layer."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from causeway.engine import scalars
from causeway.engine.intervention.sites import DICTIONARY_ONLY, EDITABLE
from causeway.ports.files.config_fields import MOST_LAYERS, Fields, read_json
from causeway.ports.models.site_names import ANY_MODEL, SiteNames

# Streams of one vector a position (head_out counts as one, its heads laid side by side).
STREAMS = EDITABLE + DICTIONARY_ONLY


class Sites(NamedTuple):
    """The layer, the stream read, and the stream written ("" for the same, as in `DictionaryConfig`)."""

    layer: int
    stream: str
    write_stream: str


def read_sites(where: str, hook_in: str, hook_out: str, names: SiteNames) -> Sites:
    """Sites from the names of the two hooks, in any spelling that `names` knows.

    Args:
        where: file and fields, for errors.
        hook_in, hook_out: what is read and what is written; equal for an SAE.
        names: of the model, or of any.

    Raises:
        ValueError: a name is not known, is no stream of whole vectors, or the two are in different layers.
    """
    try:
        read, written = names.site(hook_in), names.site(hook_out)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    for hook, site in ((hook_in, read), (hook_out, written)):
        if site.stream not in STREAMS:
            raise ValueError(f"{where}: hook {hook!r} is no stream of one vector a position ({', '.join(STREAMS)})")
    if read.layer != written.layer:
        raise ValueError(
            f"{where}: reads layer {read.layer} ({hook_in!r}) and writes layer {written.layer} ({hook_out!r}); "
            "only dictionaries within one layer and cross-layer transcoders are read"
        )
    return Sites(read.layer, read.stream, "" if read.stream == written.stream else written.stream)


def layer_of(where: str, hook: str) -> int:
    """The layer that the name of a hook says, whatever model it is of.

    Raises:
        ValueError: a name that is not known, or that says no layer.
    """
    try:
        return ANY_MODEL.layer(hook)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def hook_layer(place: Path) -> int:
    """The layer of the hook that OpenMOSS's configuration of a dictionary reads."""
    return layer_of(f"{place}: hook_point_in", Fields(str(place), read_json(place)).take("hook_point_in", str))


def first_there(folder: Path, names: Sequence[str]) -> str:
    """The first of some names of weight files that is in a folder, or the first of all."""
    return next((name for name in names if (folder / name).is_file()), names[0])


def one_per_layer(found: Iterable[tuple[int, Path]], root: Path) -> dict[int, Path]:
    """Layer -> place, lowest layer first.

    Raises:
        ValueError: a layer is there twice.
    """
    places: dict[int, Path] = {}
    for layer, place in sorted(found):
        scalars.integer(layer, f"{place}: its layer", 0, MOST_LAYERS - 1)
        if layer in places:
            both = f"{places[layer].relative_to(root)}, {place.relative_to(root)}"
            raise ValueError(f"layers: {root} has several dictionaries for layer {layer} ({both}); name one folder")
        places[layer] = place
    return places
