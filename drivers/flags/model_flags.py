"""Flags of every driver that loads a model, and the loading itself."""

from typing import Any, cast

from absl import flags

from causeway.drivers.flags.flag_values import layer_numbers

MODEL = flags.DEFINE_string(
    "model", "bundled:tiny", "Model: a hub id (org/name[@revision]), a local directory, or bundled:tiny."
)
DICTIONARIES = flags.DEFINE_string(
    "dictionaries",
    None,
    "SAEs or transcoders: a hub id, a local directory, or bundled:NAME (default: those of a bundled model).",
)
LAYERS = flags.DEFINE_list("layers", [], "Layers whose dictionaries are loaded, as 0,1,-1 (the last); default: all.")
GATING = flags.DEFINE_enum(
    "gating", None, ["inferred", "saelens_compat", "study"], "How Llama Scope's threshold is read (default: inferred)."
)
DTYPES = ["float32", "bfloat16", "float16"]
STORAGE = flags.DEFINE_enum("storage", "float32", DTYPES, "Dtype of weights in memory.")
COMPUTE = flags.DEFINE_enum("compute", "float32", DTYPES, "Dtype of products and of the stream.")
BOS = flags.DEFINE_enum(
    "bos", "auto", ["auto", "yes", "no"], "Put the begin-of-sequence token before a text; auto: as the tokenizer does."
)
DEVICES = flags.DEFINE_integer("devices", None, "Local devices to use (default: all).", lower_bound=1)
PARALLEL = flags.DEFINE_enum("parallel", "shard_map", ["shard_map", "pmap"], "How rows are spread over devices.")


def load_model():
    """The model of --model, placed on one device."""
    from causeway.ports.models.load import load_model as load

    bos = {"auto": None, "yes": True, "no": False}[BOS.value]
    return load(MODEL.value, storage=STORAGE.value, compute=COMPUTE.value, prepend_bos=bos)


def load_dictionaries(model: Any, transcoders: bool = False) -> Any:
    """The dictionaries of --dictionaries, checked against the model.

    Args:
        transcoders: whether a bundled model's transcoders are what is meant by default, rather than its SAEs.
    """
    from causeway.engine.model.config import Precision
    from causeway.ports.dictionaries.load import load_dictionaries as load

    own = MODEL.value + ("/transcoders" if transcoders else "")
    reference = DICTIONARIES.value or (own if MODEL.value.startswith("bundled:") else None)
    if reference is None:
        kind, how = ("transcoders", "train_dictionary --transcoder") if transcoders else ("SAEs", "train_dictionary")
        raise ValueError(f"--dictionaries: got nothing; needs the {kind} of the model ({how} makes some)")
    storage = cast(Precision, STORAGE.value)
    return load(reference, layers(), for_model=model, storage=storage, **format_options())


def format_options() -> dict[str, Any]:
    """What the dictionaries' format is asked for."""
    return {"gating": GATING.value} if GATING.value else {}


def layers() -> list[int] | None:
    """The layers of --layers; None for all."""
    return layer_numbers(LAYERS) or None


def parallel():
    """The devices of --devices and --parallel."""
    from causeway.engine.devices import local_parallel

    return local_parallel(DEVICES.value, PARALLEL.value)
