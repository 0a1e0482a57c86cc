"""Llama Scope, first generation: SAEs and transcoders of Llama-3.1-8B, into the canonical form.

A folder `Llama3_1-8B-Base-L{layer}{R|A|M|TC}-{8|32}x` holds hyperparams.json and checkpoints/final.safetensors (or
pruned.safetensors) with encoder.weight [F,D], encoder.bias [F], decoder.weight [O,F], decoder.bias [O]. Its
definition works on scaled activations, s = sqrt(D) / (their average norm in training), one factor for what is read
and one for what is written:

    p = s_in x W_E^T + b_E   (or from s_in x - b_D)      f = p where the gate is open      y = (f W_D^T + b_D) / s_out

so W_enc = s_in W_E^T, W_dec = W_D^T / s_out, b_dec = b_D / s_out. Feature values stay on the scale of training.

The files hold one number t for the gate, and not what it is compared with. Three readings are in use:

    inferred        p_i |w_i| > s_out t, w_i the rows of W_D^T: what OpenMOSS's own code compares since January 2025
                    when scales are folded. t grows with the norm of the output from checkpoint to checkpoint, also
                    where the input's goes elsewhere, and the hyperparameters say that sparsity includes the norm of
                    the decoder. A checkpoint that leaves the norm out compares p > s_in t by the same fold.
    saelens_compat  p_i > s_in t: what SAELens computes.
    study           p_i > 0: how the original patching study loaded them, so that its numbers can be reproduced.

The right one has about `top_k` active features a token on text without its first token.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from causeway.engine.dictionary.dictionary import DictionaryConfig
from causeway.ports.dictionaries.feature_arrays import in_memory, stored, without_input_bias
from causeway.ports.dictionaries.feature_folds import in_blocks, row_norms, scaled, threshold_on_norm
from causeway.ports.dictionaries.sites import Sites, first_there, hook_layer, one_per_layer, read_sites
from causeway.ports.dictionaries.source import DictionarySource, FeatureArray
from causeway.ports.files.config_fields import Fields, read_json
from causeway.ports.files.safetensors_files import TensorFile, open_file
from causeway.ports.files.tensor_checks import check_tensors
from causeway.ports.models.site_names import ANY_MODEL, SiteNames

NAME = "llama_scope"
CONFIG = "hyperparams.json"
MODEL = "lm_config.json"
PATTERNS = (CONFIG, f"*/{CONFIG}", MODEL, f"*/{MODEL}")
WEIGHTS = ("checkpoints/final.safetensors", "checkpoints/pruned.safetensors")
Gating = Literal["inferred", "saelens_compat", "study"]
GATINGS: tuple[Gating, ...] = ("inferred", "saelens_compat", "study")
SHORTHAND = re.compile(r"([\w.-]+)/(Llama3_1-8B-Base)-L(\d+)(R|A|M|TC)-(8x|32x)(@.+)?")
# How it was trained and stored, not what it computes.
TRAINING_ONLY = (
    "device", "seed", "dtype", "bias_init_method", "decoder_exactly_fixed_norm", "init_decoder_norm",
    "init_encoder_norm", "init_encoder_with_decoder_transpose", "lp", "l1_coefficient", "l1_coefficient_warmup_steps",
    "k_warmup_steps", "use_batch_norm_mse", "use_ghost_grads", "tp_size", "ddp_size", "expansion_factor",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Hyperparameters:
    """What a hyperparams.json says.

    Attributes:
        where: the file, for errors. sites: what is read and written. d_model: D, and O. d_sae: F.
        threshold: t, None for a ReLU. norm_in, norm_out: average norms in training, None where nothing is scaled.
        decoder_bias, centred: b_D exists; b_D is subtracted from the input. gates_on_norm: the gate includes |w_i|.
        top_k: how many features were active in training.
    """

    where: str
    sites: Sites
    d_model: int
    d_sae: int
    threshold: float | None
    norm_in: float | None
    norm_out: float | None
    decoder_bias: bool
    centred: bool
    gates_on_norm: bool
    top_k: int

    @property
    def scale_in(self) -> float:
        """s_in."""
        return 1.0 if self.norm_in is None else math.sqrt(self.d_model) / self.norm_in

    @property
    def scale_out(self) -> float:
        """s_out."""
        return 1.0 if self.norm_out is None else math.sqrt(self.d_model) / self.norm_out


def hub_reference(reference: str) -> str:
    """The full reference that the short name of one dictionary stands for; any other reference as it is.

    `fnlp/Llama3_1-8B-Base-L15R-8x` is a folder of the repository `fnlp/Llama3_1-8B-Base-LXR-8x`.
    """
    match = SHORTHAND.fullmatch(reference)
    if match is None:
        return reference
    owner, model, layer, site, width, revision = match.groups()
    return f"{owner}/{model}-LX{site}-{width}/{model}-L{layer}{site}-{width}{revision or ''}"


def find(root: Path) -> dict[int, Path]:
    """Layer -> hyperparams.json at or below a directory.

    Raises:
        ValueError: a layer is there twice, or a file is not understood.
    """
    return one_per_layer(((hook_layer(place), place) for place in root.rglob(CONFIG)), root)


def weights(place: Path) -> list[str]:
    """The weight file that belongs to a hyperparams.json, relative to its folder."""
    return [first_there(place.parent, WEIGHTS)]


def open_source(place: Path, names: SiteNames = ANY_MODEL, gating: Gating = "inferred") -> DictionarySource:
    """One dictionary, from its configuration and headers.

    Args:
        place: its hyperparams.json.
        names: by which the model calls its places.
        gating: which reading of the threshold, see the module's docstring.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: unknown gating, or a file is damaged or not understood.
    """
    if gating not in GATINGS:
        raise ValueError(f"gating: got {gating!r}; needs one of {', '.join(GATINGS)}")
    given = _read(place, names)
    file = place.parent / weights(place)[0]
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; download it beside {CONFIG}")
    tensors = open_file(file)
    check_tensors(tensors, _shapes(given), "a Llama Scope dictionary")
    arrays = _arrays(given, tensors, gating)
    return DictionarySource(
        where=place,
        format=NAME,
        config=DictionaryConfig(
            kind="jumprelu" if "threshold" in arrays else "relu",
            layers=(given.sites.layer,),
            stream=given.sites.stream,
            write_stream=given.sites.write_stream,
        ),
        arrays=arrays,
        files=(place, file),
        model_name=_model_name(place.parent / MODEL),
        value_scale=_value_scale(given),
        card={"top_k": given.top_k, "gating": gating, "jump_relu_threshold": given.threshold},
    )


def _read(place: Path, names: SiteNames) -> _Hyperparameters:
    """A hyperparams.json, every field used or known to change nothing."""
    where, fields = str(place), Fields(str(place), read_json(place))
    if fields.take("use_glu_encoder", bool, False):
        raise ValueError(f"{where}: use_glu_encoder multiplies two encoders, which one matrix cannot hold; not read")
    activation = fields.take("act_fn", str)
    if activation not in ("jumprelu", "relu"):
        raise ValueError(f"{where}: act_fn {activation!r} is not read; read are jumprelu and relu")
    threshold = fields.take("jump_relu_threshold", float, 0.0)
    norms = _norms(where, fields)
    hook_in = fields.take("hook_point_in", str)
    given = _Hyperparameters(
        where=where,
        sites=read_sites(
            f"{where}: hook_point_in, hook_point_out", hook_in, fields.take("hook_point_out", str, hook_in), names
        ),
        d_model=fields.positive("d_model"),
        d_sae=fields.positive("d_sae"),
        threshold=threshold if activation == "jumprelu" else None,
        norm_in=norms[0],
        norm_out=norms[1],
        decoder_bias=fields.take("use_decoder_bias", bool, True),
        centred=fields.take("apply_decoder_bias_to_pre_encoder", bool),
        gates_on_norm=fields.take("sparsity_include_decoder_norm", bool),
        top_k=fields.take("top_k", int, 0),
    )
    fields.ignore(TRAINING_ONLY)
    fields.done()
    if given.centred and (not given.decoder_bias or given.sites.write_stream):
        raise ValueError(
            f"{where}: apply_decoder_bias_to_pre_encoder needs a decoder bias, and one stream to subtract it in"
        )
    return given


def _norms(where: str, fields: Fields) -> tuple[float | None, float | None]:
    """Average norms of what is read and written."""
    kind = fields.take("norm_activation", str)
    averages = fields.take("dataset_average_activation_norm", dict, {})
    if kind == "inference":
        return None, None
    if kind != "dataset-wise":
        raise ValueError(
            f"{where}: norm_activation {kind!r} rescales each token or batch by its own norm; "
            "read are 'dataset-wise' and 'inference', whose scales are fixed"
        )
    values = [averages.get(side) for side in ("in", "out")]
    for side, value in zip(("in", "out"), values, strict=True):
        if not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ValueError(f"{where}: dataset_average_activation_norm.{side} is {value!r}; needs a number above 0")
    return float(values[0]), float(values[1])


def _shapes(given: _Hyperparameters) -> dict[str, tuple[int, ...]]:
    d, f = given.d_model, given.d_sae
    shapes: dict[str, tuple[int, ...]] = {"encoder.weight": (f, d), "encoder.bias": (f,), "decoder.weight": (d, f)}
    return shapes | ({"decoder.bias": (d,)} if given.decoder_bias else {})


def _arrays(given: _Hyperparameters, tensors: Mapping[str, TensorFile], gating: Gating) -> dict[str, FeatureArray]:
    encoder = stored(tensors["encoder.weight"], 0, transpose=True)
    decoder = stored(tensors["decoder.weight"], 1, transpose=True)
    bias = stored(tensors["encoder.bias"], 0)
    centre = stored(tensors["decoder.bias"]) if given.decoder_bias else in_memory(np.zeros(given.d_model), None)
    arrays = {
        "W_enc": scaled(encoder, given.scale_in),
        # The bias is subtracted from the scaled input, so it meets the encoder as the file has it.
        "b_enc": in_blocks(without_input_bias(bias, centre, encoder)) if given.centred else bias,
        "W_dec": scaled(decoder, 1 / given.scale_out),
        "b_dec": scaled(centre, 1 / given.scale_out),
    }
    if given.threshold is None or gating == "study":
        return arrays
    if gating == "inferred" and given.gates_on_norm:
        threshold = in_memory(np.full(given.d_sae, given.threshold * given.scale_out))
        return arrays | {"threshold": threshold_on_norm(threshold, row_norms(decoder))}
    # SAELens multiplies relu(p) with the gate, so a threshold below 0 acts as 0 there.
    floor = 0.0 if gating == "saelens_compat" else -math.inf
    return arrays | {"threshold": in_memory(np.full(given.d_sae, max(floor, given.threshold * given.scale_in)))}


def _value_scale(given: _Hyperparameters) -> str:
    if given.norm_in is None:
        return "raw"
    return f"as trained: the input is scaled by sqrt({given.d_model}) / {given.norm_in:g} first"


def _model_name(path: Path) -> str:
    """The language model beside the dictionary, "" where no file says."""
    if not path.is_file():
        return ""
    return Fields(str(path), read_json(path)).take("model_name", str, "")
