"""Flags of every driver that loads a model, and the loading itself."""

from absl import flags

MODEL = flags.DEFINE_string(
    "model", "bundled:tiny", "Model: a hub id (org/name[@revision]), a local directory, or bundled:tiny."
)
DICTIONARIES = flags.DEFINE_string(
    "dictionaries", None, "SAEs: a hub id, a local directory, or bundled:NAME (default: those of a bundled model)."
)
LAYERS = flags.DEFINE_list("layers", [], "Layers whose dictionaries are loaded, such as 0,1,2 (default: all).")
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
    from causeway.ports.load import load_model as load

    bos = {"auto": None, "yes": True, "no": False}[BOS.value]
    return load(MODEL.value, storage=STORAGE.value, compute=COMPUTE.value, prepend_bos=bos)


def load_dictionaries(model):
    """The dictionaries of --dictionaries, checked against the model."""
    from causeway.ports.dictionaries import load_dictionaries as load

    reference = DICTIONARIES.value or (MODEL.value if MODEL.value.startswith("bundled:") else None)
    if reference is None:
        raise ValueError("--dictionaries: got nothing; needs the SAEs of the model (train_dictionary makes some)")
    return load(reference, layers(), for_model=model, storage=STORAGE.value, **format_options())


def format_options() -> dict[str, str]:
    """What the dictionaries' format is asked for."""
    return {"gating": GATING.value} if GATING.value else {}


def layers() -> list[int] | None:
    """The layers of --layers; None for all."""
    return [_layer(text) for text in LAYERS.value] or None


def _layer(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError(f"--layers: got {text!r}; needs layer numbers such as 0,1,2")
    return int(text)


def parallel():
    """The devices of --devices and --parallel."""
    from causeway.engine.devices import local_parallel

    return local_parallel(DEVICES.value, PARALLEL.value)
