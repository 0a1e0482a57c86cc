"""`load_model`: a reference to a published model becomes a `Model`.

What a family is: see `ports.models.families`.

Tensors go from the file into the memory of the finished parameter, on whichever device its shard lives; the
fingerprint is computed when it is first asked for (ports/models/fingerprint.py).

Cost: every weight file is read once.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

from causeway.engine import scalars
from causeway.engine.model.config import PRECISIONS, STORAGES, ModelConfig, Numerics, Precision, Storage
from causeway.engine.model.exact_parts import chosen
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import Where
from causeway.engine.model.transformer import Transformer
from causeway.engine.model.unrolled import single_off_cpu
from causeway.ports.files.foreign import interpreting
from causeway.ports.files.safetensors_files import INDEX, WEIGHTS, TensorFile, read_index, weight_files
from causeway.ports.models.chat_template import read_chat_template
from causeway.ports.models.checkpoints import is_checkpoint, open_sealed, read_about, restore_transformer
from causeway.ports.models.families import FAMILIES, UNREAD
from causeway.ports.models.fingerprint import FileFingerprint
from causeway.ports.models.model_files import BESIDE_WEIGHTS, files_of, gguf_in
from causeway.ports.models.reference import locate
from causeway.ports.models.site_names import names_of
from causeway.ports.models.tokenizer import FileTokenizer, has_tokenizer, load_tokenizer
from causeway.ports.models.weights import load_transformer

GENERATION_CONFIG = "generation_config.json"
FILES = (*BESIDE_WEIGHTS, "model*.safetensors", INDEX)


def load_model(
    reference: str | Path,
    *,
    storage: Storage = "float32",
    compute: Precision = "float32",
    accumulate: Precision = "float32",
    prepend_bos: bool | None = None,
    sharding: Where = None,
) -> Model:
    """Load a model from a directory, a GGUF file, the hub or a package.

    Args:
        reference: directory, GGUF file, `bundled:NAME`, `package:NAME` (an installed Python package that holds one
            model), or hub id `org/name[@revision]`.
        storage: dtype of the weights in memory; int8 brings those of products to 8 bits, one after the other, as they
            are read (`engine.model.quantised`).
        compute: dtype of the operands of products and of the residual stream.
        accumulate: dtype of norms, softmax, logits and sums.
        prepend_bos: whether text prompts begin with BOS; None takes what the model's own files do. The decision is
            recorded as `Model.prepend_bos`.
        sharding: where the parameters live: a mesh (`make_mesh`: whole on each of its devices, or split along `model`),
            one sharding for all of them, or None for the default device. Rows of what is computed with the model go
            over the same devices.

    Raises:
        FileNotFoundError: the reference, its configuration or its weights are not there.
        ValueError: the files are damaged, or ask for something not implemented; each names file and field. Or the
            weights are more than a device holds.
    """
    if not isinstance(reference, str | Path):
        raise ValueError(
            f"reference: got {scalars.shown(reference)}; needs a directory, a GGUF file, "
            "bundled:NAME, package:NAME, or a hub id"
        )
    if prepend_bos is not None:
        scalars.truth(prepend_bos, "prepend_bos")
    numerics = chosen(_check_numerics(Numerics(storage, compute, accumulate)), jax.default_backend())
    directory = model_directory(reference)
    if is_checkpoint(directory):
        return _restore(directory, numerics, str(reference), prepend_bos, sharding)
    weights = open_weights(directory)
    tokenizer = load_tokenizer(directory) if has_tokenizer(directory) else None
    policy = _bos_policy(prepend_bos, tokenizer, directory)
    config, fingerprint = weights.config, FileFingerprint(weights.config, weight_files(weights.tensors))
    transformer = single_off_cpu(weights.load(numerics, sharding))
    stops, place = read_stop_tokens(directory), names_of(config).place
    template = read_chat_template(files_of(directory))
    return Model(transformer, tokenizer, str(reference), fingerprint, policy, place, stops, template)


@dataclasses.dataclass(frozen=True)
class OpenWeights:
    """The weights of a model in their files.

    Attributes:
        family: the reader's module. config: of the model. tensors: by their published names.
    """

    family: ModuleType
    config: ModelConfig
    tensors: Mapping[str, TensorFile]

    def load(self, numerics: Numerics, sharding: Where = None) -> Transformer:
        """Read them; arguments as `load_transformer`."""
        return load_transformer(self.config, numerics, self.tensors, self.family.name_map(self.config), sharding)


def open_weights(directory: Path) -> OpenWeights:
    """The weights of a model's folder or GGUF file, from headers alone.

    Raises:
        FileNotFoundError, ValueError: as `load_model`.
    """
    family, config = read_model_config(directory)
    return OpenWeights(family, config, files_of(directory).tensors(family, config))


def model_directory(reference: str | Path) -> Path:
    """The folder or GGUF file that a model's reference names, with its configuration and all its weights.

    Raises:
        FileNotFoundError, ValueError: as `load_model`.
    """
    return locate(reference, FILES, _complete)


def quantisation_of(reference: str | Path) -> str:
    """How the numbers of a model were rounded before they were stored; empty where they were not."""
    return files_of(model_directory(reference)).quantisation()


def _restore(directory: Path, numerics: Numerics, name: str, prepend_bos: bool | None, sharding: Where) -> Model:
    """The same from a directory that `causeway convert` made; BOS stands before texts as for the model converted."""
    open_sealed(directory)
    tokenizer = load_tokenizer(directory) if has_tokenizer(directory) else None
    kept = read_about(directory, "model").get("prepend_bos")
    policy = _bos_policy(kept if prepend_bos is None else prepend_bos, tokenizer, directory)
    stops = read_stop_tokens(directory)
    transformer, fingerprint = restore_transformer(directory, numerics, sharding)
    place = names_of(transformer.config).place
    template = read_chat_template(files_of(directory))
    return Model(single_off_cpu(transformer), tokenizer, name, fingerprint, policy, place, stops, template)


def read_model_config(directory: Path) -> tuple[ModuleType, ModelConfig]:
    """The family and the configuration of a model directory.

    Raises:
        FileNotFoundError: no config.json.
        ValueError: an unknown family, or a field the family's reader refuses.
    """
    files = files_of(directory)
    path, values = files.name("config.json"), files.json("config.json")
    name = values.get("model_type")
    if not isinstance(name, str) or name not in FAMILIES:
        lacks = f", which needs {UNREAD[name]}" if isinstance(name, str) and name in UNREAD else ""
        raise ValueError(f"{path}: model_type is {name!r}{lacks}; the families read here are {', '.join(FAMILIES)}")
    with interpreting(path, "configuration"), _naming(path):
        return FAMILIES[name], FAMILIES[name].read_config(values, path)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Begins what `ModelConfig` finds wrong with the file that says so: it does not know the file."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith(f"{ModelConfig.__name__}."):
            raise ValueError(f"{path}: {error}") from error
        raise


def _check_numerics(numerics: Numerics) -> Numerics:
    for field, value in numerics.dtypes.items():
        known = STORAGES if field == "storage" else PRECISIONS
        if value not in known:
            raise ValueError(f"{field}: got {value!r}; needs one of {', '.join(known)}")
        if value == "float64" and not jax.config.read("jax_enable_x64"):
            raise ValueError(f"{field}: float64 needs jax's 64-bit mode; set JAX_ENABLE_X64=1")
    return numerics


def _complete(directory: Path) -> bool:
    """Whether a cached folder has a configuration and all its weights."""
    if gguf_in(directory) is not None:
        return True
    if not (directory / "config.json").is_file():
        return False
    if (directory / WEIGHTS).is_file():
        return True
    if not (directory / INDEX).is_file():
        return False
    return all((directory / shard).is_file() for shard in read_index(directory / INDEX).values())


def _bos_policy(asked: bool | None, tokenizer: FileTokenizer | None, directory: Path) -> bool:
    if asked and (tokenizer is None or tokenizer.bos_id is None):
        raise ValueError(f"prepend_bos: got True, but the tokenizer of {directory} has no BOS token; leave it out")
    if asked is not None:
        return asked
    return tokenizer is not None and tokenizer.files_prepend_bos


def read_stop_tokens(directory: Path) -> tuple[int, ...] | None:
    """The ids that end what a model writes, as its files name them; None where they name none.

    As transformers' generate takes them: `eos_token_id` of generation_config.json, else of config.json, one id or a
    list.

    Raises:
        ValueError: a field that is neither a token id nor a list of them; names the file.
    """
    files = files_of(directory)
    for name in (GENERATION_CONFIG, "config.json"):
        named = files.json(name).get("eos_token_id") if files.has(name) else None
        if named is not None:
            return _ids(named, f"{files.name(name)}: eos_token_id")
    return None


def _ids(named: Any, where: str) -> tuple[int, ...]:
    # Some files write -1 for "none"; an id beyond the vocabulary is never drawn either.
    listed = named if isinstance(named, list) else [named]
    found = [scalars.integer(one, where, low=-1) for one in listed]
    return tuple(dict.fromkeys(one for one in found if one >= 0))
