"""ReLU SAEs of one torch file each, `{model}-SAE-l{layer}.pt` or `.pth`: Goodfire's, and DeepSeek-R1-Distill-Llama's.

    f = relu(x W^T + b)      x' = f W_D^T + b_D         on resid_post, nothing subtracted or scaled

Tensors: encoder_linear.weight [F,D], encoder_linear.bias [F], decoder_linear.weight [D,F], decoder_linear.bias [D]
(Goodfire), or the same under encoder.* and decoder.* (DeepSeek-R1). Model and layer are in the file's name alone.
"""

import re
from pathlib import Path

from causeway.engine.dictionary.dictionary import DictionaryConfig
from causeway.ports.dictionaries.feature_arrays import stored
from causeway.ports.dictionaries.sites import one_per_layer
from causeway.ports.dictionaries.source import DictionarySource
from causeway.ports.files.tensor_checks import check_tensors
from causeway.ports.files.torch_files import chosen_file, open_file

NAME = "goodfire"
PATTERNS = ("*-SAE-l*.pt", "*-SAE-l*.pth")
FILE = re.compile(r"(.+)-SAE-l(\d+)\.(?:pt|pth|safetensors)")


def find(root: Path) -> dict[int, Path]:
    """Layer -> file.

    Raises:
        ValueError: a layer is there twice.
    """
    found: dict[str, tuple[int, Path]] = {}
    for path in sorted(root.iterdir()):
        if match := FILE.fullmatch(path.name):
            found.setdefault(path.stem, (int(match[2]), path))  # a file and its conversion are one
    return one_per_layer(found.values(), root)


def weights(place: Path) -> list[str]:
    """The file itself."""
    return [chosen_file(place).name]


def open_source(place: Path) -> DictionarySource:
    """One dictionary.

    Raises:
        FileNotFoundError, ValueError: the file is missing, damaged or not of this format.
    """
    match = FILE.fullmatch(place.name)
    if match is None:
        raise ValueError(f"{place}: the name does not end in -SAE-l(layer).pt, where the layer is written")
    path = chosen_file(place)
    tensors = open_file(path)
    encoder, decoder = (
        f"{part}_linear" if "encoder_linear.weight" in tensors else part for part in ("encoder", "decoder")
    )
    weight = tensors.get(f"{encoder}.weight")
    f, d = weight.shape if weight is not None and len(weight.shape) == 2 else (0, 0)
    shapes = {
        f"{encoder}.weight": (f, d),
        f"{encoder}.bias": (f,),
        f"{decoder}.weight": (d, f),
        f"{decoder}.bias": (d,),
    }
    check_tensors(tensors, shapes, "a ReLU dictionary of two linear maps")
    arrays = {
        "W_enc": stored(tensors[f"{encoder}.weight"], 0, transpose=True),
        "b_enc": stored(tensors[f"{encoder}.bias"], 0),
        "W_dec": stored(tensors[f"{decoder}.weight"], 1, transpose=True),
        "b_dec": stored(tensors[f"{decoder}.bias"]),
    }
    config = DictionaryConfig("relu", (int(match[2]),), "resid_post")
    return DictionarySource(path, NAME, config, arrays, (path,), match[1])
