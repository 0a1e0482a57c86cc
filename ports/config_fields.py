"""Reading a published configuration field by field, so that no field goes unread.

A family's reader takes every field it knows through `Fields` and then calls `done`, which raises for whatever is
left. A field is thus used, listed as known to change nothing, or an error; a configuration written by a newer
library with a new switch in it cannot be half understood.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_MISSING = object()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, or not an object.
    """
    if not path.is_file():
        names = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        raise FileNotFoundError(f"{path}: no such file; {path.parent} holds {', '.join(names[:12]) or 'nothing'}")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}); download it again") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: holds a JSON {type(value).__name__}; needs an object")
    return value


class Fields:
    """The fields of one JSON object, crossed off as they are taken."""

    def __init__(self, where: str, values: Mapping[str, Any]):
        self.where = where
        self._left = dict(values)

    def take(self, name: str, kind: type | tuple[type, ...], default: Any = _MISSING) -> Any:
        """One field of a type; null counts as absent.

        Raises:
            ValueError: absent without a default, of another type, or not finite.
        """
        value = self._left.pop(name, None)
        if value is None:
            if default is _MISSING:
                raise ValueError(f"{self.where}: field {name} is missing; it is required")
            return default
        kinds = kind if isinstance(kind, tuple) else (kind,)
        # bool is an int in Python, and an int is a good float in JSON.
        good = isinstance(value, bool) if bool in kinds else isinstance(value, kinds) and not isinstance(value, bool)
        if float in kinds and isinstance(value, int) and not isinstance(value, bool):
            value, good = float(value), True
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{self.where}: field {name} is {value}; needs a finite number")
        if not good:
            names = " or ".join(k.__name__ for k in kinds)
            raise ValueError(f"{self.where}: field {name} is {value!r}; needs {names}")
        return value

    def positive(self, name: str, default: Any = _MISSING) -> int:
        """A whole number above zero."""
        value = self.take(name, int, default)
        if value <= 0:
            raise ValueError(f"{self.where}: field {name} is {value}; needs a whole number above 0")
        return value

    @property
    def left(self) -> tuple[str, ...]:
        """Names of the fields that nobody took yet."""
        return tuple(self._left)

    def neutral(self, name: str, value: Any) -> None:
        """Cross off a field that changes nothing while it has this value or is null.

        Raises:
            ValueError: it has another value.
        """
        given = self._left.pop(name, None)
        if given is not None and given != value:
            raise ValueError(f"{self.where}: field {name} is {given!r}, which changes the model in a way not read here")

    def ignore(self, names: Iterable[str]) -> None:
        """Cross off fields known to change nothing."""
        for name in names:
            self._left.pop(name, None)

    def done(self) -> None:
        """Refuse what nobody took.

        Raises:
            ValueError: fields are left, all of them named.
        """
        if self._left:
            raise ValueError(
                f"{self.where}: unknown fields {', '.join(f'{k}={v!r}' for k, v in sorted(self._left.items()))}; "
                "what they change is not known here, so they are not skipped"
            )
