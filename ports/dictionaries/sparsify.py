"""Folders of EleutherAI's sparsify: `{hookpoint}/cfg.json` and `{hookpoint}/sae.safetensors`.

    f = top-k of relu((x - b_dec) W^T + b)       y = f W_dec + b_dec  (+ x W_skip^T)

A transcoder (`transcode`) does not subtract b_dec, and goes from the input of its module to its output. `groupmax`
keeps the largest of each of k contiguous groups. `signed`, of the first version alone, keeps the k of largest
magnitude without a ReLU. How a dictionary was trained (`multi_topk`, `normalize_decoder`) changes nothing here.

Tensors: encoder.weight [F,D], encoder.bias [F], W_dec [F,D] (rows are features, as in memory), b_dec [D], W_skip [D,D].
The hookpoint, a Hugging Face module name, is the name of the folder and is written nowhere else. A repository holds
many; where one layer has several, one is named with the reference (`org/name:layers.10.mlp`). Only `embed_tokens`
gives way: beside other hookpoints it is read when it is named.
"""

from pathlib import Path
from typing import Any

from causeway.engine.dictionary.dictionary import DictionaryConfig
from causeway.ports.dictionaries.feature_arrays import stored, without_input_bias
from causeway.ports.dictionaries.feature_folds import in_blocks
from causeway.ports.dictionaries.sites import layer_of, one_per_layer, read_sites
from causeway.ports.dictionaries.source import DictionarySource
from causeway.ports.files.config_fields import Fields, read_json
from causeway.ports.files.safetensors_files import open_file
from causeway.ports.files.tensor_checks import check_tensors
from causeway.ports.models.site_names import ANY_MODEL, SiteNames

NAME = "sparsify"
CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
# The second is the training run's own, which names the model.
RUN = "config.json"
PATTERNS = (CONFIG, f"*/{CONFIG}", RUN)
TRAINING_ONLY = ("normalize_decoder", "multi_topk")
EMBEDDINGS = ("embed_tokens", "model.embed_tokens", "embed_in", "gpt_neox.embed_in")


def find(root: Path) -> dict[int, Path]:
    """Layer -> cfg.json of every dictionary at or below a folder.

    Raises:
        ValueError: a layer has several hookpoints, or a folder is no hookpoint.
    """
    root = root.resolve()
    paths = [path for path in sorted(root.rglob(CONFIG)) if _is_ours(path)]
    if len(paths) > 1:
        paths = [path for path in paths if path.parent.name not in EMBEDDINGS]
    return one_per_layer(((_layer(path), path) for path in paths), root)


def weights(place: Path) -> list[str]:
    """What lies beside the configuration."""
    return [WEIGHTS]


def open_source(place: Path, names: SiteNames = ANY_MODEL) -> DictionarySource:
    """One dictionary, of a model that calls its places by these names.

    Raises:
        FileNotFoundError, ValueError: a file is missing, damaged or not of this format.
    """
    config, d_in, features = _read_config(place)
    path = place.parent / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; download it beside {CONFIG}")
    tensors = open_file(path)
    shapes = {"encoder.weight": (features, d_in), "encoder.bias": (features,), "W_dec": (features, d_in)}
    shapes |= {"b_dec": (d_in,)} | ({"W_skip": (d_in, d_in)} if config["skip"] else {})
    check_tensors(tensors, shapes, f"the dictionary of {place}")
    encoder, bias, b_dec = (
        stored(tensors["encoder.weight"], 0, transpose=True),
        stored(tensors["encoder.bias"], 0),
        stored(tensors["b_dec"]),
    )
    arrays = {
        "W_enc": encoder,
        "b_enc": bias if config["transcode"] else in_blocks(without_input_bias(bias, b_dec, encoder)),
        "W_dec": stored(tensors["W_dec"], 0),
        "b_dec": b_dec,
    } | ({"W_skip": stored(tensors["W_skip"], transpose=True)} if config["skip"] else {})
    return DictionarySource(
        place, NAME, _canonical(place, config, names), arrays, (place, path), _model(place), card={"l0": config["k"]}
    )


def _is_ours(path: Path) -> bool:
    """SAELens calls its configuration cfg.json too; it has d_sae, ours an expansion factor."""
    values = read_json(path)
    return "expansion_factor" in values and "d_sae" not in values


def _read_config(place: Path) -> tuple[dict[str, Any], int, int]:
    """The fields that matter, D and F."""
    fields = Fields(str(place), read_json(place))
    d_in, factor = fields.positive("d_in"), fields.positive("expansion_factor")
    features = fields.take("num_latents", int, 0) or d_in * factor
    config = {
        "activation": fields.take("activation", str, "topk"),
        "signed": fields.take("signed", bool, False),
        "k": fields.positive("k"),
        "skip": fields.take("skip_connection", bool, False),
        "transcode": fields.take("transcode", bool, False),
    }
    fields.ignore(TRAINING_ONLY)
    fields.done()
    if config["activation"] not in ("topk", "groupmax"):
        raise ValueError(f"{place}: activation {config['activation']!r} is not read; read are topk and groupmax")
    if config["k"] > features or (config["activation"] == "groupmax" and features % config["k"]):
        raise ValueError(
            f"{place}: k = {config['k']} of {features} features; topk needs k of them, groupmax k equal groups"
        )
    return config, d_in, features


def _canonical(place: Path, config: dict[str, Any], names: SiteNames) -> DictionaryConfig:
    _layer(place)
    hookpoint = place.parent.resolve().name
    if config["transcode"] and hookpoint in EMBEDDINGS:
        raise ValueError(f"{place}: a transcoder of {hookpoint}, which reads tokens and no stream; take one of a layer")
    read = f"{hookpoint}.input" if config["transcode"] else hookpoint
    sites = read_sites(str(place), read, hookpoint, names)
    kind: Any = "abstopk" if config["signed"] else config["activation"]
    return DictionaryConfig(kind, (sites.layer,), sites.stream, config["k"], write_stream=sites.write_stream)


def _layer(place: Path) -> int:
    """The layer in the hookpoint's name.

    Raises:
        ValueError: the folder is not called after a hookpoint.
    """
    name = place.parent.resolve().name
    try:
        return layer_of(str(place), name)
    except ValueError as error:
        raise ValueError(
            f"{place}: lies in {name!r}, which is not a hookpoint; sparsify writes the hookpoint nowhere but in the "
            "folder's name: call it layers.N, layers.N.mlp or layers.N.self_attn"
        ) from error


def _model(place: Path) -> str:
    """The model named by the training run's own file, "" without one."""
    run = place.parent.resolve().parent / RUN
    return Fields(str(run), read_json(run)).take("model", str, "") if run.is_file() else ""
