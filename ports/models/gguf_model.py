"""A GGUF file as a model: its configuration in Hugging Face's words, its tensors under Hugging Face's names.

The keys of an architecture are translated one by one (`gguf_architectures`); a key that is not in the table is an
error, as an unknown field of config.json is. Names of tensors are translated by the `gguf` library.
"""

import collections
import math
from types import ModuleType
from typing import Any

import numpy as np

from causeway.engine import scalars
from causeway.engine.model.config import ModelConfig
from causeway.ports.files.gguf_files import GgufFile
from causeway.ports.files.gguf_tensor import GgufTensor
from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.models.gguf_architectures import ARCHITECTURES, Architecture
from causeway.ports.models.gguf_rope import TENSORS, head_width, rope_fields
from causeway.ports.models.gguf_tokenizer import as_bytes, generation_config, tokenizer_files

# Keys that change nothing, or only say again what others say.
UNUSED = ("attention.causal", "rope.scaling.finetuned", "tensor_data_layout", "attention.value_length")


class GgufModel:
    """The `ModelFiles` of a GGUF file."""

    def __init__(self, file: GgufFile):
        """Translate everything but the tensors.

        Raises:
            ValueError: an architecture, a key or a tokenizer that is not read.
        """
        self.file, self.where = file, file.path
        self._contents = {"config.json": self._config(), "generation_config.json": generation_config(file)}
        self._contents |= tokenizer_files(file)

    def name(self, name: str) -> str:
        """The file, and what of it is meant."""
        return f"{self.where} (its {name})"

    def has(self, name: str) -> bool:
        """Whether the file has what is elsewhere in a file of that name."""
        return bool(self._contents.get(name))

    def read(self, name: str, most: int | None = None) -> bytes:
        """The content of that file.

        Raises:
            ValueError: it is larger than what is read.
        """
        content = as_bytes(self._contents[name])
        if most is not None and len(content) > most:
            raise ValueError(
                f"{self.name(name)}: has {len(content)} bytes; files of this kind are read up to {most} bytes"
            )
        return content

    def json(self, name: str) -> dict[str, Any]:
        """The same as an object."""
        return self._contents[name]

    def beside_weights(self) -> list[str]:
        """What was translated."""
        return [name for name in self._contents if self.has(name)]

    def quantisation(self) -> str:
        """Types of the tensors, the numbers of each, and what the file holds of a number on average."""
        kinds = collections.Counter(tensor.quantisation for tensor in self.file.tensors.values())
        numbers = sum(math.prod(tensor.shape) for tensor in self.file.tensors.values())
        bits = 8 * sum(tensor.stored.size for tensor in self.file.tensors.values()) / numbers
        shown = ", ".join(f"{kind} ({count} tensors)" for kind, count in kinds.most_common())
        return f"{shown}; {bits:.1f} bits a number, rounded before this file was written"

    def tensors(self, family: ModuleType, config: ModelConfig) -> dict[str, TensorFile]:
        """Tensors under Hugging Face's names; those without one keep theirs, and are refused by who counts them."""
        names = gguf_names(self._name, family, config)
        left = {name: tensor for name, tensor in self.file.tensors.items() if name not in TENSORS}
        found: dict[str, TensorFile] = {}
        for published, name in names.items():
            if name in left:
                found[published] = self._as_published(left.pop(name), config)
        return found | left

    def _as_published(self, tensor: GgufTensor, config: ModelConfig) -> TensorFile:
        """The tensor with the layout that it has elsewhere."""
        back = self._architecture.layouts.get(tensor.name.split(".")[-2])
        return tensor if back is None else back(tensor, config)

    @property
    def _architecture(self) -> Architecture:
        return ARCHITECTURES[self._name]

    @property
    def _name(self) -> str:
        name = self.file.value("general.architecture", str)
        if name is None or name not in ARCHITECTURES:
            raise ValueError(
                f"{self.where}: general.architecture is {scalars.shown(name)}; read here are {', '.join(ARCHITECTURES)}"
            )
        return name

    def _config(self) -> dict[str, Any]:
        """config.json of the same model."""
        architecture, tensors = self._architecture, self.file.tensors
        keys = self.file.under(f"{self._name}.")
        given = {key: _short(value) for key, value in keys.items()}
        values = {name: given.pop(key) for key, name in architecture.fields.items() if key in given}
        if "token_embd.weight" not in tensors:
            raise ValueError(f"{self.where}: has no tensor token_embd.weight; damaged, or not a language model")
        values.setdefault("vocab_size", tensors["token_embd.weight"].shape[0])
        values |= {"model_type": architecture.family, "tie_word_embeddings": "output.weight" not in tensors}
        values |= architecture.extra(values, tensors) | rope_fields(self.file, given, values)
        self._check_left(given, values)
        return values

    def _check_left(self, given: dict[str, Any], values: dict[str, Any]) -> None:
        """Refuse keys that nobody took."""
        if given.get("attention.value_length") not in (None, head_width(values)):
            raise ValueError(f"{self.where}: attention.value_length is not the width of a head; not implemented")
        if left := {key: value for key, value in given.items() if key not in UNUSED}:
            shown = ", ".join(f"{key}={scalars.shown(value)}" for key, value in sorted(left.items()))
            raise ValueError(
                f"{self.where}: unknown keys {shown}; what they change is not known here, so they are not skipped"
            )


def gguf_names(architecture: str, family: ModuleType, config: ModelConfig) -> dict[str, str]:
    """Hugging Face's name of each tensor of a family -> its name in a GGUF file."""
    import gguf

    number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(number, config.num_layers)
    published = dict.fromkeys(name for entry in family.name_map(config) for name in entry.names(config))
    found = {name: names.get_name(name, (".weight", ".bias")) for name in published}
    return {name: other for name, other in found.items() if other is not None}


def _short(value: Any) -> Any:
    """A number that was stored in 32 bits as the shortest one that is stored so: 1e-5 and not 9.999999747378752e-06."""
    return float(str(np.float32(value))) if isinstance(value, float) else value
