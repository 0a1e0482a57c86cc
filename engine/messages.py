"""Messages of a conversation: who says what, checked, before a template makes one text of them."""

from collections.abc import Mapping
from typing import Any

from causeway.engine import scalars

ROLES = ("system", "developer", "user", "assistant", "tool")

Message = Mapping[str, Any]


def checked_messages(messages: Any, system: Any = None) -> tuple[Message, ...]:
    """Messages as objects of their own, a system message put before them.

    Args:
        messages: objects with `role` and `content`, a text; what else they have is kept for the template.
        system: the text of a system message; None for none.

    Raises:
        ValueError: messages that are not such objects, or two system messages.
    """
    if not isinstance(messages, list | tuple) or not messages:
        raise ValueError(f"messages: got {scalars.shown(messages)}; needs a list of objects with role and content")
    found = tuple(_checked(number, message) for number, message in enumerate(messages))
    if system is None:
        return found
    if not isinstance(system, str) or any(message["role"] == "system" for message in found):
        raise ValueError(f"system: got {scalars.shown(system)}; needs a text, and no system message beside it")
    return ({"role": "system", "content": system}, *found)


def _checked(number: int, message: Any) -> Message:
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
        raise ValueError(f"messages: number {number} is {scalars.shown(message)}; needs role and content, a text")
    if message.get("role") not in ROLES:
        came = scalars.shown(message.get("role"))
        raise ValueError(f"messages: number {number} has the role {came}; needs one of {', '.join(ROLES)}")
    return dict(message)
