"""The files of a published model, wherever they are: a folder in the Hugging Face layout, or one GGUF file.

Readers of configurations, tokenizers and stop tokens ask for a file by its Hugging Face name and do not see which of
the two it comes from.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from causeway.engine.model.config import ModelConfig
from causeway.ports.files.config_fields import read_json
from causeway.ports.files.foreign import check_file, interpreting
from causeway.ports.files.gguf_files import SUFFIX, GgufFile
from causeway.ports.files.safetensors_files import TensorFile, open_directory
from causeway.ports.models.gguf_model import GgufModel

BESIDE_WEIGHTS = (
    "config.json", "generation_config.json", "tokenizer*.json", "special_tokens_map.json", "chat_template.jinja",
)  # fmt: skip


class ModelFiles(Protocol):
    """Files by their Hugging Face names.

    Attributes:
        where: the folder or the file.
    """

    where: Path

    def name(self, name: str) -> str:
        """How an error names one of them."""

    def has(self, name: str) -> bool:
        """Whether there is one of that name."""

    def read(self, name: str, most: int | None = None) -> bytes:
        """Its content, of at most so many bytes."""

    def json(self, name: str) -> dict[str, Any]:
        """Its content as a JSON object."""

    def beside_weights(self) -> list[str]:
        """Names of the files that a copy of the model needs beside its weights."""

    def quantisation(self) -> str:
        """How its numbers were rounded before they were stored; empty where they were not."""

    def tensors(self, family: ModuleType, config: ModelConfig) -> Mapping[str, TensorFile]:
        """The tensors that the family's name map has to account for."""


class FolderFiles:
    """A folder in the Hugging Face layout; errors as `check_file`, `read_json` and `open_directory`."""

    def __init__(self, where: Path):
        self.where = where

    def name(self, name: str) -> str:
        """The path."""
        return str(self.where / name)

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return (self.where / name).is_file()

    def read(self, name: str, most: int | None = None) -> bytes:
        """Its content."""
        check_file(self.where / name, most)
        return (self.where / name).read_bytes()

    def json(self, name: str) -> dict[str, Any]:
        """Its content as a JSON object."""
        return read_json(self.where / name)

    def beside_weights(self) -> list[str]:
        """Configuration and tokenizer."""
        return sorted(path.name for pattern in BESIDE_WEIGHTS for path in self.where.glob(pattern))

    def quantisation(self) -> str:
        """None."""
        return ""

    def tensors(self, family: ModuleType, config: ModelConfig) -> Mapping[str, TensorFile]:
        """Those of the folder that count."""
        return family.select_tensors(config, open_directory(self.where))


def files_of(where: Path) -> ModelFiles:
    """The files of a folder, or of the GGUF file that is given or is the only one in a folder without config.json.

    Raises:
        ValueError: a folder with several GGUF files and no config.json, or a file of another kind.
    """
    file = gguf_in(where)
    return FolderFiles(where) if file is None else _opened(file, file.stat().st_mtime_ns)


def gguf_in(where: Path) -> Path | None:
    """The GGUF file that a path names; None for a folder of another kind.

    Raises:
        ValueError: several to choose from, or a file of another kind.
    """
    if where.is_file():
        if where.suffix != SUFFIX:
            raise ValueError(f"reference: {str(where)!r} is a file; give the directory it is in, or a GGUF file")
        return where
    found = sorted(where.glob(f"*{SUFFIX}"))
    if not found or (where / "config.json").is_file():
        return None
    if len(found) > 1:
        names = ", ".join(file.name for file in found[:8])
        raise ValueError(f"reference: {where} holds {len(found)} GGUF files ({names}); name one of them")
    return found[0]


@functools.lru_cache(maxsize=1)
def _opened(file: Path, _changed: int) -> GgufModel:
    """Several readers ask for one file, whose header takes seconds to parse."""
    parsed = GgufFile(file)
    with interpreting(file, "GGUF file of a model"):
        return GgufModel(parsed)
