"""What a row of the table of flags says, and a short way to write each kind of row."""

import csv
import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from absl import flags


@dataclasses.dataclass(frozen=True)
class Entry:
    """One flag.

    Attributes:
        kind: the part of absl's DEFINE_... that makes it; "texts" is a list that keeps spaces, "alone" one of some
            values that may be left out.
        default: its value where nobody gives one.
        help: one line for --help.
        limits: further arguments of absl's function.
        name: what the flag is called where another entry has that name in the table; no command has both.
    """

    kind: str
    default: Any
    help: str
    limits: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    name: str = ""


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


def choice_or_alone(help: str, alone: str, *others: str) -> Entry:
    """One of some values, none by default; the flag without a value means the first."""
    return Entry("alone", None, help, {"values": [alone, *others]})


def whole(help: str, default: int | None, least: int | None = 1, most: int | None = None) -> Entry:
    """A whole number."""
    return Entry("integer", default, help, {"lower_bound": least, "upper_bound": most})


def number(help: str, default: float | None, least: float | None = None, most: float | None = None) -> Entry:
    """A number."""
    return Entry("float", default, help, {"lower_bound": least, "upper_bound": most})


# Flags that are defined through this module belong to the one that asks.
flags.disclaim_key_flags()


class TextListParser(flags.ListParser):
    """Texts between commas as they are written, spaces at their beginning too, which absl's own lists take away; one
    with a comma in it stands in double quotes, as in CSV."""

    def parse(self, argument: str | list[str]) -> list[str]:
        """The texts.

        Raises:
            ValueError: quotes that do not close.
        """
        if isinstance(argument, list) or not argument:
            return list(argument)
        if '"' not in argument:
            return argument.split(",")
        try:
            return next(csv.reader([argument], strict=True))
        except csv.Error as error:
            raise ValueError(f"got {argument!r} ({error}); needs texts between commas") from None


def define_texts(name: str, default: list[str], help: str) -> flags.FlagHolder[list[str]]:
    """A flag of the driver that asks."""
    return flags.DEFINE(TextListParser(), name, default, help, serializer=flags.CsvListSerializer(","))


class AloneParser(flags.EnumParser):
    """One of some values; `--flag` alone, which absl reads as true, is the first."""

    def parse(self, argument: str) -> str:
        """The value.

        Raises:
            ValueError: another one.
        """
        return super().parse(self.enum_values[0] if argument == "true" else argument)


class AloneFlag(flags.Flag):
    """A flag whose value may be left out, as absl lets it be of flags that it takes for switches."""

    def __init__(self, name: str, help: str, values: list[str]):
        super().__init__(AloneParser(values), flags.ArgumentSerializer(), name, None, help, boolean=True)

    def _serialize(self, value: str | None) -> str:
        return "" if value is None else f"--{self.name}={value}"


def define_alone(name: str, default: None, help: str, values: list[str]) -> flags.FlagHolder[str | None]:
    """A flag of the driver that asks."""
    return flags.DEFINE_flag(AloneFlag(name, help, values))


# How flags of our own kinds are defined; absl defines the others.
DEFINE: Mapping[str, Any] = MappingProxyType({"texts": define_texts, "alone": define_alone})
