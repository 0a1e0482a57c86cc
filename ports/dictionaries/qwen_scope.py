"""Qwen Scope: `layer{n}.sae.pt` of `Qwen/SAE-Res-{model}-W{width}K-L0_{k}`.

    f = top-k of relu(x W_enc^T + b_enc)      x' = f W_dec^T + b_dec       on resid_post, nothing subtracted or scaled

Tensors: W_enc [F,D], W_dec [D,F] (both the other way around in memory), b_enc [F], b_dec [D]. k, the width and the
model are written in the repository's name alone, so a folder of these files has to keep that name (a part of the path
that ends in `-W{width}K-L0_{k}`).
"""

import re
from pathlib import Path

from causeway.engine.dictionary.dictionary import DictionaryConfig
from causeway.ports.dictionaries.feature_arrays import stored
from causeway.ports.dictionaries.source import DictionarySource
from causeway.ports.files.tensor_checks import check_tensors
from causeway.ports.files.torch_files import chosen_file, open_file

NAME = "qwen_scope"
PATTERNS = ("layer*.sae.pt",)
FILE = re.compile(r"layer(\d+)\.sae\.(?:pt|safetensors)")
# In the hub's cache the repository's name is a folder `models--Qwen--SAE-Res-...`.
REPOSITORY = re.compile(r"(?:.*--)?(?:SAE-Res-)?(.*?)-?W(\d+)K-L0_(\d+)")
K = 1024


def find(root: Path) -> dict[int, Path]:
    """Layer -> file."""
    found: dict[int, Path] = {}
    for path in sorted(root.resolve().iterdir()):
        if match := FILE.fullmatch(path.name):
            # The torch file's name stands for either: its conversion may lie beside it, or alone.
            found[int(match[1])] = path.with_name(f"layer{match[1]}.sae.pt")
    return found


def weights(place: Path) -> list[str]:
    """The file itself."""
    return [chosen_file(place).name]


def open_source(place: Path) -> DictionarySource:
    """One dictionary.

    Raises:
        FileNotFoundError, ValueError: the file is missing, damaged or not of this format, or k is not in the path.
    """
    model, features, k = _from_path(place)
    path = chosen_file(place)
    tensors = open_file(path)
    width = tensors["b_dec"].shape[0] if "b_dec" in tensors and tensors["b_dec"].shape else 0
    shapes = {"W_enc": (features, width), "W_dec": (width, features), "b_enc": (features,), "b_dec": (width,)}
    check_tensors(tensors, shapes, f"a dictionary of {features} features (W{features // K}K in the path)")
    layer = int(re.sub(r"\D", "", place.name.split(".")[0]))
    arrays = {
        "W_enc": stored(tensors["W_enc"], 0, transpose=True),
        "b_enc": stored(tensors["b_enc"], 0),
        "W_dec": stored(tensors["W_dec"], 1, transpose=True),
        "b_dec": stored(tensors["b_dec"]),
    }
    config = DictionaryConfig("topk", (layer,), "resid_post", k)
    return DictionarySource(path, NAME, config, arrays, (path,), f"Qwen/{model}" if model else "", card={"l0": k})


def _from_path(place: Path) -> tuple[str, int, int]:
    """Model, F and k from the nearest folder named as the repository is."""
    for part in reversed(place.parent.resolve().parts):
        if match := REPOSITORY.fullmatch(part):
            return match[1], int(match[2]) * K, int(match[3])
    raise ValueError(
        f"{place}: no folder of its path ends in -W(width)K-L0_(k), such as SAE-Res-Qwen3-1.7B-Base-W32K-L0_50; k is "
        "written nowhere else, so give the folder its repository's name"
    )
