"""Values of other commands' flags, parsed by these commands' own flags, in a process of its own.

Flags are global to a process and two commands define the same ones, so each command is looked at in a fork:

    echo '[{"driver": "evaluate", "values": {"batch_rows": 8}, "takes": {"prompts": ["runs/prompts"]}, "shared": []}]' |
        python -P -m causeway.drivers.stages.parsed

prints a list with, for each, either `error`, one line, or `arguments` (what a person would type of each flag given),
`resolved` (the value of every flag, as JSON), `given` (texts of the flags that are given texts). Nothing is run and
nothing heavy imported: 0.2 s for ten commands.
"""

import importlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from causeway.drivers.flags import flag_errors, refusals
from causeway.drivers.flags.help import own_flags
from causeway.drivers.flags.help_pages import PAGES
from causeway.engine.scalars import shown

# Where a command writes; a study gives these itself.
PLACES = ("out", "workdir")


def look(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the flags of a command make of values; in a process where no other command's flags are.

    Args:
        request: `driver`, `values` and `takes` by flag, and `shared`, names of values that the command may lack.
    """
    importlib.import_module(f"causeway.drivers.{request['driver']}")
    known = own_flags()
    given = request["values"] | request["takes"]
    given = {name: value for name, value in given.items() if name in known or name not in request["shared"]}
    try:
        for name in given:
            if name not in known:
                raise ValueError(refusals.unknown(name))
        arguments = {name: _typed(known[name], value) for name, value in given.items()}
        flags.FLAGS([request["driver"], *(text for texts in arguments.values() for text in texts)])
        flag_errors.check_numbers()
        _check_needed(request["driver"], given)
    except flags.Error as error:
        return {"error": " ".join(flag_errors.message(error).split())}
    except ValueError as error:
        return {"error": " ".join(str(error).split())}
    return {
        "arguments": {name: known[name].serialize().split("\n") for name in given},
        "resolved": {name: _plain(flag) for name, flag in sorted(known.items())},
        "given": {name: _texts(known[name]) for name in given if _texts(known[name])},
    }


def _typed(flag: flags.Flag, value: Any) -> list[str]:
    """A value as it is typed.

    Raises:
        ValueError: not of the flag's kind.
    """
    many = isinstance(value, list)
    if (many and not isinstance(flag.default, list)) or (isinstance(value, bool) and not flag.boolean):
        raise ValueError(f"--{flag.name}: got {shown(value)}; needs {flag_errors.needed(flag)}")
    texts = [str(one) for one in value] if many else [str(value).lower() if isinstance(value, bool) else str(value)]
    if isinstance(flag, flags.MultiFlag):
        return [f"--{flag.name}={text}" for text in texts]
    return [f"--{flag.name}={flags.CsvListSerializer(',').serialize(texts) if many else texts[0]}"]


def _check_needed(driver: str, given: Mapping[str, Any]) -> None:
    """Refuse a command without a flag that it needs and that the study does not give it."""
    for entry in PAGES[driver].needed:
        names = (entry,) if isinstance(entry, str) else entry
        if not any(name in given or name in PLACES or flags.FLAGS[name].value for name in names):
            raise ValueError(f"{', '.join(f'--{name}' for name in names)}: got nothing; {driver} needs one")


def _plain(flag: flags.Flag) -> Any:
    if isinstance(flag.value, ConfigDict):
        return json.loads(flag.value.to_json())
    simple = isinstance(flag.value, str | int | float | None)
    listed = isinstance(flag.value, list) and all(isinstance(one, str | int | float) for one in flag.value)
    return flag.value if simple or listed else type(flag.value).__name__


def _texts(flag: flags.Flag) -> list[str]:
    found = flag.value if isinstance(flag.value, list) else [flag.value]
    closed = getattr(flag.parser, "enum_values", None)
    return [] if closed else [one for one in found if isinstance(one, str)]


def _in_a_fork(request: Mapping[str, Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    if (process := os.fork()) == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as out:
            json.dump(look(request), out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as found:
        text = found.read()
    os.waitpid(process, 0)
    return json.loads(text)


if __name__ == "__main__":
    json.dump([_in_a_fork(request) for request in json.load(sys.stdin)], sys.stdout)
