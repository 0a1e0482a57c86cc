"""OpenAI's autoencoders of GPT-2 small: `{location}{version}/autoencoders/{layer}.pt`.

    v1, v4 (ReLU)         f = relu((x - pre_bias) W^T + latent_bias)            x' = f W_D^T + pre_bias
    v5_32k, v5_128k       the same on LN(x) = (x - mean) / (std + 1e-5) of each token, with the k largest kept before
    (TopK)                the ReLU; the token's mean and std are put back after decoding

Tensors are torch's: encoder.weight [F,D], decoder.weight [D,F]; `activation` and `activation_state_dict` (k, and what
follows the selection) lie beside them as plain values. A file converted to safetensors has lost those; the version in
the path then says what they were (k = 32 for all of v5). Statistics of training in the file are not read.

The streams were recorded without centred writing weights. Files are published outside the hub; a folder of them is
used where it is, under the names it was published with, since the location is written in the path alone.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from causeway.engine.dictionary.dictionary import DictionaryConfig
from causeway.engine.scalars import INT32_MAX
from causeway.ports.dictionaries.feature_arrays import stored, without_input_bias
from causeway.ports.dictionaries.feature_folds import in_blocks
from causeway.ports.dictionaries.sites import one_per_layer
from causeway.ports.dictionaries.source import DictionarySource
from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.files.tensor_checks import check_tensors
from causeway.ports.files.torch_files import CONVERTED, chosen_file, open_contents

NAME = "openai_gpt2"
PATTERNS = ("autoencoders/*.pt", "*/autoencoders/*.pt")
STREAMS = {
    "mlp_post_act": "mlp_act",
    "resid_delta_mlp": "mlp_out",
    "resid_delta_attn": "attn_out",
    "resid_post_attn": "resid_mid",
    "resid_post_mlp": "resid_post",
}
LOCATION = re.compile(rf"({'|'.join(STREAMS)})(|_v4|_v5_32k|_v5_128k)")
STATISTICS = ("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
V5_K = 32


def find(root: Path) -> dict[int, Path]:
    """Layer -> file of every autoencoder at or below a folder.

    Raises:
        ValueError: a layer is there at two locations or in two versions.
    """
    root = root.resolve()
    found: dict[Path, Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix in (".pt", CONVERTED) and path.stem.isdecimal() and _location(path) is not None:
            found.setdefault(path.with_suffix(""), path)  # a file and its conversion are one
    return one_per_layer(((int(path.stem), path) for path in found.values()), root)


def weights(place: Path) -> list[str]:
    """The file itself."""
    return [chosen_file(place).name]


def open_source(place: Path) -> DictionarySource:
    """One autoencoder.

    Raises:
        FileNotFoundError, ValueError: the file is missing, damaged or not of this format.
    """
    location = _location(place)
    if location is None:
        raise ValueError(f"{place}: not under {{location}}/autoencoders/; locations are {', '.join(STREAMS)}")
    path = chosen_file(place)
    contents = open_contents(path)
    topk, k, kind = _activation(path, contents, location[2])
    tensors = {n: t for n, t in contents.items() if isinstance(t, TensorFile) and n not in STATISTICS}
    check_tensors(tensors, _shapes(path, tensors), "an OpenAI autoencoder")
    encoder, centre = stored(tensors["encoder.weight"], 0, transpose=True), stored(tensors["pre_bias"])
    arrays = {
        "W_enc": encoder,
        "b_enc": in_blocks(without_input_bias(stored(tensors["latent_bias"], 0), centre, encoder)),
        "W_dec": stored(tensors["decoder.weight"], 1, transpose=True),
        "b_dec": centre,
    }
    norm: Any = "layer_norm" if topk else "none"
    config = DictionaryConfig(kind, (int(place.stem),), STREAMS[location[1]], k, input_norm=norm)
    scale = "of the input normalised per token (mean 0, deviation 1)" if topk else "raw"
    return DictionarySource(path, NAME, config, arrays, (path,), "gpt2", scale)


def _location(path: Path) -> re.Match | None:
    folder = path.parent.resolve()
    return LOCATION.fullmatch(folder.parent.name) if folder.name == "autoencoders" else None


def _activation(path: Path, contents: dict[str, Any], version: str) -> tuple[bool, int, Any]:
    """Whether it selects (and so normalises), k, and the canonical kind."""
    name, state = contents.pop("activation", None), contents.pop("activation_state_dict", {})
    if name is None:
        name, state = ("TopK", {"k": V5_K, "postact_fn": "ReLU"}) if "v5" in version else ("ReLU", {})
    if name == "ReLU":
        return False, 0, "relu"
    after, k = (state.get("postact_fn"), state.get("k")) if isinstance(state, Mapping) else (None, None)
    kinds = {"ReLU": "topk", "Identity": "topk_signed"}
    if name != "TopK" or after not in kinds or not isinstance(k, int) or not 1 <= k <= INT32_MAX:
        raise ValueError(
            f"{path}: activation {name!r} with {state!r} is not read; read are ReLU, and TopK with k and a "
            "postact_fn of ReLU or Identity"
        )
    return True, k, kinds[after]


def _shapes(path: Path, tensors: dict[str, TensorFile]) -> dict[str, tuple[int, ...]]:
    if "encoder.weight" not in tensors or len(tensors["encoder.weight"].shape) != 2:
        raise ValueError(f"{path}: holds {', '.join(tensors) or 'nothing'}; needs a matrix encoder.weight")
    f, d = tensors["encoder.weight"].shape
    return {"encoder.weight": (f, d), "decoder.weight": (d, f), "pre_bias": (d,), "latent_bias": (f,)}
