"""The tokenizer of a model, without its weights."""

from causeway.ports.files.hub import resolve
from causeway.ports.models.tokenizer import FileTokenizer, has_tokenizer, load_tokenizer

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def tokenizer_of(reference: str) -> FileTokenizer:
    """The tokenizer of a directory, `bundled:NAME`, or hub id `org/name[@revision]`.

    Raises:
        FileNotFoundError: nothing there, or no tokenizer in it.
        ValueError: a damaged file.
    """
    return load_tokenizer(resolve(reference, FILES, has_tokenizer))
