"""The tokens at which a published model ends what it writes.

As transformers' generate takes them: `eos_token_id` of generation_config.json, else of config.json, one id or a list of
them; where neither names any, the tokenizer's end of sequence.
"""

from pathlib import Path
from typing import Any

from causeway.engine import scalars
from causeway.ports.files.config_fields import read_json

GENERATION_CONFIG = "generation_config.json"


def read_stop_tokens(directory: Path) -> tuple[int, ...] | None:
    """The ids that a model's files name; None where they name none.

    Raises:
        ValueError: a field that is neither a token id nor a list of them; names the file.
    """
    for path in (directory / GENERATION_CONFIG, directory / "config.json"):
        named = read_json(path).get("eos_token_id") if path.is_file() else None
        if named is not None:
            return _ids(named, f"{path}: eos_token_id")
    return None


def _ids(named: Any, where: str) -> tuple[int, ...]:
    # Some files write -1 for "none"; an id beyond the vocabulary is never drawn either.
    listed = named if isinstance(named, list) else [named]
    found = [scalars.integer(one, where, low=-1) for one in listed]
    return tuple(dict.fromkeys(one for one in found if one >= 0))
