"""Llamascopium (Language-Model-SAEs, second generation): config.json and sae_weights.safetensors.

Its definition works on activations scaled to an average norm of sqrt(D), s = sqrt(D) / (average norm), one factor for
what is read and one for what is written (`norm_activation` "dataset-wise"; "inference" means folded already, s = 1):

    p = s_in x W_E + b_E        g = p, or p n with n_i = |row i of W_D| (`sparsity_include_decoder_norm`)
    jumprelu   f = p where g > exp(log_jumprelu_threshold)
    topk       f = p for the `top_k` largest g, where g > 0
    relu       f = p where p > 0
    y = (f W_D + b_D) / s_out

so W_enc = s_in W_E, W_dec = W_D / s_out, b_dec = b_D / s_out, threshold_i = t_i / n_i, on the scale of training. Where
p n is ranked, n goes into the encoder and out of the decoder, and a feature's value is n times the one above.

Tensors: W_E [D,F], b_E [F], W_D [F,D], b_D [D], or under older names encoder.weight [F,D], encoder.bias,
decoder.weight [D,F], decoder.bias; `log_jumprelu_threshold` [F]; scalars `dataset_average_activation_norm.{hook}`,
which are left as they were in memory, and not read, unless `norm_activation` is "dataset-wise".
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from causeway.engine.dictionary.dictionary import DictionaryConfig
from causeway.ports.dictionaries.feature_arrays import in_memory, mapped, stored
from causeway.ports.dictionaries.feature_folds import row_norms, scaled, threshold_on_norm, times_norm
from causeway.ports.dictionaries.sites import Sites, first_there, hook_layer, one_per_layer, read_sites
from causeway.ports.dictionaries.source import DictionarySource, FeatureArray
from causeway.ports.files.config_fields import Fields, read_json
from causeway.ports.files.safetensors_files import TensorFile, open_file
from causeway.ports.files.tensor_checks import check_tensors, one_number
from causeway.ports.models.site_names import ANY_MODEL, SiteNames

NAME = "llamascopium"
CONFIG = "config.json"
PATTERNS = (CONFIG, f"*/{CONFIG}")
WEIGHTS = (
    "sae_weights.safetensors", "checkpoints/final.safetensors", "checkpoints/pruned.safetensors",
)  # fmt: skip
NORM = "dataset_average_activation_norm."
KINDS: dict[str, Literal["relu", "jumprelu", "topk"]] = {"relu": "relu", "jumprelu": "jumprelu", "topk": "topk"}
# Why the other members of the family are not read.
REFUSED = {
    "clt": "a cross-layer transcoder in one file; save it in circuit-tracer's layout, one pair of files a layer",
    "crosscoder": "it reads several layers at once",
    "lorsa": "it replaces attention and reads other positions",
    "molt": "its features write matrices, not vectors",
}
# How it was trained and run, not what it computes.
TRAINING_ONLY = (
    "jumprelu_threshold_window", "use_triton_kernel", "sparsity_threshold_for_triton_spmm_kernel", "device", "dtype",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Config:
    """What a config.json says.

    Attributes:
        where: the file, for errors. hook_in, hook_out: names of the hooks. sites: the same as streams.
        d_model: D, and O. d_sae: F. activation: one of `KINDS`. top_k: of topk.
        decoder_bias: b_D exists. on_norm: the gate includes the norm of the decoder. scales: s comes from the weights.
    """

    where: str
    hook_in: str
    hook_out: str
    sites: Sites
    d_model: int
    d_sae: int
    activation: str
    top_k: int
    decoder_bias: bool
    on_norm: bool
    scales: bool


def find(root: Path) -> dict[int, Path]:
    """Layer -> config.json at or below a directory; other libraries' files of that name are passed over.

    Raises:
        ValueError: a layer is there twice, or a file is not understood.
    """
    ours = [place for place in root.rglob(CONFIG) if "sae_type" in read_json(place)]
    return one_per_layer(((hook_layer(place), place) for place in ours), root)


def weights(place: Path) -> list[str]:
    """The weight file that belongs to a config.json, relative to its folder."""
    return [first_there(place.parent, WEIGHTS)]


def open_source(place: Path, names: SiteNames = ANY_MODEL) -> DictionarySource:
    """One dictionary, from its configuration and headers.

    Args:
        place: its config.json.
        names: by which the model calls its places.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is damaged or not understood.
    """
    config = _read(place, names)
    file = place.parent / weights(place)[0]
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; download it beside {CONFIG} (only safetensors are read)")
    tensors = open_file(file)
    norm_in, norm_out = _take_norms(config, tensors, file)
    root = math.sqrt(config.d_model)
    scales = (1.0, 1.0) if norm_in is None or norm_out is None else (root / norm_in, root / norm_out)
    topk = config.activation == "topk"
    return DictionarySource(
        where=place,
        format=NAME,
        config=DictionaryConfig(
            kind=KINDS[config.activation],
            layers=(config.sites.layer,),
            stream=config.sites.stream,
            k=config.top_k if topk else 0,
            write_stream=config.sites.write_stream,
        ),
        arrays=_arrays(config, tensors, *scales),
        files=(place, file),
        value_scale=_value_scale(config, norm_in),
        card={"top_k": config.top_k},
    )


def _read(place: Path, names: SiteNames) -> _Config:
    """A config.json, every field used or known to change nothing."""
    where, fields = str(place), Fields(str(place), read_json(place))
    kind = fields.take("sae_type", str)
    if kind != "sae":
        raise ValueError(f"{where}: sae_type {kind!r} is not read: {REFUSED.get(kind, 'it is not known here')}")
    if fields.take("use_glu_encoder", bool, False):
        raise ValueError(f"{where}: use_glu_encoder multiplies two encoders, which one matrix cannot hold; not read")
    activation = fields.take("act_fn", str, "relu")
    if activation not in KINDS:
        raise ValueError(
            f"{where}: act_fn {activation!r} is not read; read are {', '.join(KINDS)} (kinds that rank a whole batch "
            "are turned into jumprelu for use)"
        )
    norm = fields.take("norm_activation", str, "dataset-wise")
    if norm not in ("dataset-wise", "inference"):
        raise ValueError(
            f"{where}: norm_activation {norm!r} rescales each token or batch by its own norm; "
            "read are 'dataset-wise' and 'inference', whose scales are fixed"
        )
    hook_in = fields.take("hook_point_in", str)
    hook_out = fields.take("hook_point_out", str, hook_in)
    d_model, top_k = fields.positive("d_model"), fields.positive("top_k", 50)
    config = _Config(
        where=where,
        hook_in=hook_in,
        hook_out=hook_out,
        sites=read_sites(f"{where}: hook_point_in, hook_point_out", hook_in, hook_out, names),
        d_model=d_model,
        d_sae=int(d_model * fields.take("expansion_factor", float)),
        activation=activation,
        top_k=top_k,
        decoder_bias=fields.take("use_decoder_bias", bool, True),
        on_norm=fields.take("sparsity_include_decoder_norm", bool, True),
        scales=norm == "dataset-wise",
    )
    fields.ignore(TRAINING_ONLY)
    fields.done()
    if activation == "topk" and top_k > config.d_sae:
        raise ValueError(f"{where}: top_k is {top_k}, more than the {config.d_sae} features")
    return config


def _take_norms(config: _Config, tensors: dict[str, TensorFile], file: Path) -> tuple[float | None, float | None]:
    """Average norms of what is read and written, taken out of the tensors."""
    norms = {name.removeprefix(NORM): tensors.pop(name) for name in list(tensors) if name.startswith(NORM)}
    if not config.scales:
        return None, None
    values = []
    for hook in (config.hook_in, config.hook_out):
        if hook not in norms:
            raise ValueError(f"{file}: tensor {NORM}{hook} is missing; {config.where} says dataset-wise")
        value = one_number(norms[hook])
        if value <= 0:
            raise ValueError(f"{file}: tensor {NORM}{hook} is {value:g}; needs one number above 0")
        values.append(value)
    return values[0], values[1]


def _arrays(config: _Config, tensors: Mapping[str, TensorFile], s_in: float, s_out: float) -> dict[str, FeatureArray]:
    linear = "encoder.weight" in tensors
    d, f = config.d_model, config.d_sae
    names = {"W_E": "encoder.weight", "b_E": "encoder.bias", "W_D": "decoder.weight", "b_D": "decoder.bias"}
    names = names if linear else {name: name for name in names}
    shapes: dict[str, tuple[int, ...]] = {
        names["W_E"]: (f, d) if linear else (d, f),
        names["b_E"]: (f,),
        names["W_D"]: (d, f) if linear else (f, d),
    }
    shapes |= {names["b_D"]: (d,)} if config.decoder_bias else {}
    threshold = next((n for n in tensors if n.split(".")[-1] == "log_jumprelu_threshold"), "log_jumprelu_threshold")
    shapes |= {threshold: (f,)} if config.activation == "jumprelu" else {}
    check_tensors(tensors, shapes, "a Llamascopium dictionary")
    encoder = stored(tensors[names["W_E"]], 0 if linear else 1, transpose=linear)
    decoder = stored(tensors[names["W_D"]], 1 if linear else 0, transpose=linear)
    norms = row_norms(decoder)
    arrays = {
        "W_enc": scaled(encoder, s_in),
        "b_enc": stored(tensors[names["b_E"]], 0),
        "W_dec": scaled(decoder, 1 / s_out),
        "b_dec": scaled(stored(tensors[names["b_D"]]) if config.decoder_bias else _zeros(d), 1 / s_out),
    }
    if config.activation == "jumprelu":
        t = mapped(stored(tensors[threshold], 0), np.exp)
        return arrays | {"threshold": threshold_on_norm(t, norms) if config.on_norm else t}
    if config.activation == "topk" and config.on_norm:
        powers = {"W_enc": 1, "b_enc": 1, "W_dec": -1}
        arrays |= {name: times_norm(arrays[name], norms, power) for name, power in powers.items()}
    return arrays


def _zeros(width: int) -> FeatureArray:
    return in_memory(np.zeros(width), None)


def _value_scale(config: _Config, norm_in: float | None) -> str:
    base = (
        "raw" if norm_in is None else f"as trained: the input is scaled by sqrt({config.d_model}) / {norm_in:g} first"
    )
    if config.activation == "topk" and config.on_norm:
        return f"{base}, and each feature is multiplied by the norm of its decoder row"
    return base
