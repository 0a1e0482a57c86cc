"""JSON documents that carry the sha256 of themselves: whoever reads one knows that it is as it was written.

    {"unit": 12, ..., "sha256": sha256 of the canonical JSON of all other fields}

Spaces and the order of fields do not count, as they change nothing that is read.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from causeway.engine.sweep import durable
from causeway.engine.sweep.fingerprint import config_sha256

SEAL = "sha256"


class DamagedDocument(ValueError):
    """A file that is not the document it was written as."""


def write_sealed(path: Path, document: Mapping[str, Any]) -> None:
    """Writes a document with its checksum, durably, replacing an earlier one."""
    sealed = {**document, SEAL: config_sha256(document)}
    durable.write_bytes(path, (json.dumps(sealed, indent=1) + "\n").encode())


def read_sealed(path: Path) -> dict[str, Any]:
    """The document of a file, without its checksum.

    Raises:
        DamagedDocument: not a file, not JSON, or not what was written. FileNotFoundError: no such file.
    """
    try:
        document = json.loads(path.read_bytes())
        seal = document.pop(SEAL)
        whole = seal == config_sha256(document)
    except IsADirectoryError:
        raise DamagedDocument(f"{path}: is a folder, where a file is needed; move it away") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise DamagedDocument(f"{path}: damaged, not the document that was written")
    return document
