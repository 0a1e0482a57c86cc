"""Gemma Scope (Gemma 2): `layer_{n}/width_{w}/average_l0_{k}/params.npz`, one dictionary a file.

    f = p where p > threshold, p = x W_enc + b_enc        y = f W_dec + b_dec

Arrays W_enc [D,F], b_enc [F], W_dec [F,O], b_dec [O], threshold [F], in some files in lower case: the canonical form
as it stands. There is no configuration; what the dictionary is on is in the names of the repository and the folders:

    gemma-scope-{size}-{pt|it}-res           resid_post        -att   head_out, the heads side by side
    gemma-scope-{size}-{pt|it}-mlp           mlp_out (after the post-norm)
    gemma-scope-{size}-{pt|it}-transcoders   mlp_norm -> mlp_out
    .../embedding/...                        resid_pre of layer 0. Trained on embeddings before Gemma multiplies them
                                             by sqrt(D), so W_enc / sqrt(D), and W_dec sqrt(D); b_dec as it is, which
                                             is how SAELens has it too.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from causeway.engine.dictionary.dictionary import DictionaryConfig
from causeway.ports.dictionaries.feature_arrays import stored
from causeway.ports.dictionaries.feature_folds import scaled
from causeway.ports.dictionaries.sites import one_per_layer
from causeway.ports.dictionaries.source import DictionarySource, FeatureArray
from causeway.ports.files.npz_files import open_npz
from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.files.tensor_checks import check_tensors

NAME = "gemma_scope"
PARAMS = "params.npz"
# Nothing but weights lies there: only the folder that a reference names is fetched, never what is below it.
PATTERNS = (PARAMS,)
REPOSITORY = re.compile(r"gemma-scope-(2b|9b|27b)-(pt|it)-(res|mlp|att|transcoders)")
FOLDER = re.compile(r"(?:layer_(\d+)|embedding)/width_(\w+)/average_l0_(\d+)")
Site = Literal["res", "mlp", "att", "transcoders"]
SITES: dict[str, tuple[str, str]] = {
    "res": ("resid_post", ""),
    "mlp": ("mlp_out", ""),
    "att": ("head_out", ""),
    "transcoders": ("mlp_norm", "mlp_out"),
}
ARRAYS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


class _Place(NamedTuple):
    """What a path says: model ("" for unknown), one of `SITES`, layer, whether it is the embedding, width, and L0."""

    model: str
    site: str
    layer: int
    embedding: bool
    width: str
    l0: int


def find(root: Path) -> dict[int, Path]:
    """Layer -> params.npz at or below a directory.

    Raises:
        ValueError: a layer is there twice (in several widths, or with several L0), or a folder is not understood.
    """
    return one_per_layer(((_folder(place)[0], place) for place in root.rglob(PARAMS)), root)


def weights(place: Path) -> list[str]:
    """The file itself."""
    return [PARAMS]


def open_source(place: Path, site: Site | None = None) -> DictionarySource:
    """One dictionary, from the headers of its arrays.

    Args:
        place: its params.npz.
        site: for a copy that does not lie under the name of its repository: the end of that name.

    Raises:
        ValueError: the path does not say what the dictionary is on, or the file is damaged or not understood.
    """
    said = _read_path(place, site)
    tensors = open_npz(place)
    arrays = gemma_arrays(tensors, "a Gemma Scope dictionary")
    if said.embedding:
        root = math.sqrt(arrays["W_enc"].shape[0])
        arrays |= {"W_enc": scaled(arrays["W_enc"], 1 / root), "W_dec": scaled(arrays["W_dec"], root)}
    stream, write_stream = ("resid_pre", "") if said.embedding else SITES[said.site]
    return DictionarySource(
        where=place,
        format=NAME,
        config=DictionaryConfig(kind="jumprelu", layers=(said.layer,), stream=stream, write_stream=write_stream),
        arrays=arrays,
        files=(place,),
        model_name=said.model,
        card={"l0": said.l0, "width": said.width},
    )


def gemma_arrays(tensors: Mapping[str, TensorFile], what: str, skip: str = "") -> dict[str, FeatureArray]:
    """The canonical arrays of a file of either Gemma Scope, which has them under canonical names in either case.

    Args:
        tensors: of one file.
        what: the thing being read, for errors.
        skip: name of a tensor [D, O] that the input goes through to the output; "" for none.

    Raises:
        ValueError: a tensor is missing, unused or of a shape that does not go with W_enc's.
    """
    lower = "w_enc" in tensors or "w_dec" in tensors
    names = {name: name.lower() if lower else name for name in ARRAYS}
    names |= {"W_skip": skip} if skip else {}
    encoder, decoder = (tensors.get(names[name]) for name in ("W_enc", "W_dec"))
    d, f = encoder.shape if encoder is not None and len(encoder.shape) == 2 else (0, 0)
    # Where a cross-layer transcoder writes to is in the middle; its width, and a transcoder's, comes from the decoder.
    tail = decoder.shape[1:] if decoder is not None and len(decoder.shape) in (2, 3) else (d,)
    shapes: dict[str, tuple[int, ...]] = {
        names["W_enc"]: (d, f),
        names["b_enc"]: (f,),
        names["W_dec"]: (f, *tail),
        names["b_dec"]: tail[-1:],
        names["threshold"]: (f,),
    } | ({skip: (d, tail[-1])} if skip else {})
    check_tensors(tensors, shapes, what)
    axes = {"W_enc": 1, "b_dec": None, "W_skip": None}
    return {name: stored(tensors[published], axes.get(name, 0)) for name, published in names.items()}


def _folder(place: Path) -> tuple[int, bool, str, int]:
    """Layer, whether it is the embedding, width and L0, from the folders above a file."""
    match = FOLDER.search(place.absolute().parent.as_posix())
    if match is None:
        raise ValueError(
            f"{place}: its layer is in the names of the folders alone; keep it under "
            "layer_N/width_W/average_l0_K, as published"
        )
    return int(match[1] or 0), match[1] is None, match[2], int(match[3])


def _read_path(place: Path, site: str | None) -> _Place:
    names = list(REPOSITORY.finditer(place.absolute().as_posix()))
    if site is not None and site not in SITES:
        raise ValueError(f"site: got {site!r}; needs one of {', '.join(SITES)}")
    if site is None and not names:
        raise ValueError(
            f"{place}: what it is on is in its repository's name alone; keep it under gemma-scope-2b-pt-res or the "
            f"like, or name the site ({', '.join(SITES)})"
        )
    model = f"google/gemma-2-{names[-1][1]}{'-it' if names[-1][2] == 'it' else ''}" if names else ""
    return _Place(model, site or names[-1][3], *_folder(place))
