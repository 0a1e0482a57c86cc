"""Names of files for graphs: a prompt's own id where it can name files, else its number; never one name for two graphs.

A graph's files are NAME.json, NAME.graphml, NAME_heads.json and a folder NAME, beside graph-metadata.json.
"""

import re
from collections.abc import Sequence

from causeway.ports.graphs.neuronpedia import LISTING

_PLAIN = re.compile(r"[\w-][\w.-]*")
# Names that would be another graph's file, or that of all of them.
_TAKEN_ENDS = ("_heads", ".json", ".graphml", ".tmp")
_MOST_BYTES = 200


def graph_slugs(ids: Sequence[str]) -> list[str]:
    """A name for each prompt id, in order; upper and lower case count as one, as they do on many disks."""
    taken = {LISTING.removesuffix(".json")}
    found: dict[int, str] = {}
    for number, name in enumerate(ids):
        if _usable(name) and name.casefold() not in taken:
            found[number] = name
            taken.add(name.casefold())
    for number in range(len(ids)):
        if number not in found:
            found[number] = _numbered(number, taken)
            taken.add(found[number])
    return [found[number] for number in range(len(ids))]


def _usable(name: str) -> bool:
    plain = _PLAIN.fullmatch(name) and len(name.encode()) <= _MOST_BYTES
    return bool(plain) and not name.casefold().endswith(_TAKEN_ENDS)


def _numbered(number: int, taken: set[str]) -> str:
    name = f"prompt-{number:05d}"
    while name in taken:
        name += "-"
    return name
