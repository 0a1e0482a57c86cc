"""JSON: what comes from outside, parsed within limits, and what is written.

Nothing deeper than `DEPTH` is let in, so that whoever walks a value cannot run out of stack; half a surrogate pair,
which no file and no tokenizer takes, is refused; a name that an object has twice, with two values, is refused, since
readers differ in which of the two they take.

What is written is UTF-8, a line an entry, whole or not at all, with null for numbers that are not finite.
"""

import json
import re
from pathlib import Path
from typing import Any

from causeway.engine import scalars
from causeway.engine.sweep import durable
from causeway.ports.files.foreign import reason

DEPTH = 64
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(content: str, where: str, advice: str = "") -> Any:
    """The value that a text is.

    Args:
        content: the text. where: its file, and the place in it. advice: what to do where it is not JSON.

    Raises:
        ValueError: not JSON, or beyond the limits above.
    """
    try:
        value = _DECODER.decode(content)
        # Few texts have so many brackets, and only those can be too deep.
        if content.count("[") + content.count("{") > DEPTH:
            check_depth(value)
        if _SURROGATE.search(content):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        said = f"nested deeper than {DEPTH}" if isinstance(error, RecursionError) else reason(error)
        raise ValueError(f"{where}: not JSON ({said}){advice and '; '}{advice}") from None
    return value


def write_json(path: Path, value: Any) -> None:
    """Write a value in place of what is there, into a folder that is there."""
    text = json.dumps(scalars.without_nan(value), indent=1, ensure_ascii=False, allow_nan=False)
    durable.write_bytes(path, (text + "\n").encode())


def check_depth(value: Any) -> None:
    """Refuse a value that is nested deeper than `DEPTH`, or that holds itself.

    Raises:
        ValueError: saying so.
    """
    level = [value]
    for _ in range(DEPTH):
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [v for values in inner for v in values if isinstance(v, dict | list)]
        if not level:
            return
    raise ValueError(f"nested deeper than {DEPTH}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in pairs:
            if found[name] != value:
                raise ValueError(f"an object has {name[:40]!r} twice, with two values")
    return found


# Made once: making one takes as long as a short line.
_DECODER = json.JSONDecoder(object_pairs_hook=_object)
