"""What a record of a file says, field by field: its label, and its text or token ids.

One file serves the whole tool: a text is found under `text` as under `prompt`, whichever a command calls it, and
`tokens` (ids run unchanged) go before either.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from causeway.engine.scalars import shown

TEXT = ("text", "prompt")


def label_of(record: Mapping[str, Any], field: str, where: str) -> str:
    """The label in a field: a text that is not empty, a number, or true or false.

    Raises:
        ValueError: it has no such field, or the field is empty, null or a container; `where` names the record.
    """
    value = record.get(field)
    if not isinstance(value, str | int | float) or value == "":
        raise ValueError(f"{where}: field {field} is {shown(value)}; needs a label, a text or a number")
    return str(value)


def content_of(record: Mapping[str, Any], names: Sequence[str] = TEXT) -> str | list[int]:
    """A prompt's token ids where it has some, else its text.

    Args:
        record: one prompt. names: of the field that holds a text, the first that is there counts.

    Raises:
        ValueError: neither, or one that is empty or of another kind.
    """
    if record.get("tokens") is not None:
        tokens = record["tokens"]
        if not isinstance(tokens, list) or not tokens or any(type(token) is not int for token in tokens):
            raise ValueError(f"field tokens is {shown(tokens)}; needs a list of token ids that is not empty")
        return tokens
    text = text_of(record, names)
    if not text:
        raise ValueError(f"has neither a text ({' or '.join(names)}) nor tokens, a list of ids; a prompt needs one")
    return text


def text_of(record: Mapping[str, Any], names: Sequence[str] = TEXT) -> str:
    """A record's text, "" where it has none.

    Raises:
        ValueError: something else than a text.
    """
    name = next((name for name in names if record.get(name) is not None), names[0])
    text = record.get(name, "")
    if not isinstance(text, str | None):
        raise ValueError(f"field {name} is {shown(text)}; needs a text as a string")
    return text or ""
