"""YAML that comes from outside: plain values only, within limits that are checked before any value is made.

An alias stands for a value that was there before, so a few lines of them can mean more than fits into any memory once
the value is walked: the parser's events are counted first, and more than a handful of aliases is refused.

Cost: the text is parsed twice.
"""

from pathlib import Path
from typing import Any

import yaml

from causeway.ports.files.foreign import parsing
from causeway.ports.files.json_text import DEPTH, check_depth
from causeway.ports.files.text_files import read_text

YAML_BYTES = 1 << 20
ALIASES = 8
# The same language; the one in C takes a tenth of the time.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path, missing: str = "") -> dict[str, Any]:
    """A YAML mapping from a file.

    Args:
        path: the file. missing: what to do where it is not there.

    Raises:
        FileNotFoundError: no such file.
        ValueError: too large, not YAML, or not a mapping.
    """
    return parse_yaml(read_text(path, YAML_BYTES, missing), str(path))


def parse_yaml(content: str, where: str) -> dict[str, Any]:
    """The mapping that a text is; `where` names its file.

    Raises:
        ValueError: not YAML, too deep, with too many aliases, or not a mapping of texts to values.
    """
    with parsing(where, "YAML file"):
        _check_events(content)
        values = yaml.load(content, Loader=_Loader)
        check_depth(values)
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{where}: holds a {type(values).__name__}; needs a mapping of names to values")
    return values


def _check_events(content: str) -> None:
    depth, aliases = 0, 0
    for event in yaml.parse(content, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > DEPTH:
            raise ValueError(f"nested deeper than {DEPTH}")
        if aliases > ALIASES:
            raise ValueError(f"more than {ALIASES} aliases")
