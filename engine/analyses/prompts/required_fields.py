"""Fields that a record must have, checked before anything is made of it."""

from collections.abc import Mapping, Sequence
from typing import Any


def texts(record: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The named fields of a record, all of them texts that are not empty.

    Raises:
        ValueError: naming the field and what came.
    """
    for name in names:
        if name not in record:
            raise ValueError(f"has no field {name}; it has {', '.join(sorted(record)) or 'none'}")
        if not isinstance(record[name], str) or not record[name]:
            raise ValueError(f"field {name}: got {str(record[name])[:40]!r}; needs a text that is not empty")
    return [record[name] for name in names]
