"""A list flag of texts as they are written: a token's text may begin with a space, which absl's own lists take away."""

import csv

from absl import flags

# Flags that are defined through this module belong to the one that asks.
flags.disclaim_key_flags()


class TextListParser(flags.ListParser):
    """Texts between commas; one with a comma in it stands in double quotes, as in CSV."""

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


def define(name: str, default: list[str], help: str) -> flags.FlagHolder[list[str]]:
    """A flag of the driver that asks."""
    return flags.DEFINE(TextListParser(), name, default, help, serializer=flags.CsvListSerializer(","))
