"""What a row of the table of flags says, and a short way to write each kind of row."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Entry:
    """One flag.

    Attributes:
        kind: the part of absl's DEFINE_... that makes it; "texts" is a list that keeps spaces.
        default: its value where nobody gives one.
        help: one line for --help.
        limits: further arguments of absl's function.
    """

    kind: str
    default: Any
    help: str
    limits: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def text(help: str, default: str | None = None) -> Entry:
    """A text; nothing by default."""
    return Entry("string", default, help)


def listed(help: str, *default: str) -> Entry:
    """A list of texts between commas."""
    return Entry("list", list(default), help)


def switch(help: str, default: bool = False) -> Entry:
    """On or off."""
    return Entry("bool", default, help)


def choice(help: str, default: str | None, *values: str) -> Entry:
    """One of some values."""
    return Entry("enum", default, help, {"enum_values": list(values)})


def whole(help: str, default: int | None, least: int | None = 1, most: int | None = None) -> Entry:
    """A whole number."""
    return Entry("integer", default, help, {"lower_bound": least, "upper_bound": most})


def number(help: str, default: float | None, least: float | None = None, most: float | None = None) -> Entry:
    """A number."""
    return Entry("float", default, help, {"lower_bound": least, "upper_bound": most})
