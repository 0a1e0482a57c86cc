"""Reading a published configuration field by field, so that no field goes unread.

A family's reader takes every field it knows through `Fields` and then calls `done`, which raises for whatever is
left. A field is thus used, listed as known to change nothing, or an error; a configuration written by a newer
library with a new switch in it cannot be half understood.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from causeway.engine import scalars
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.text_files import CONFIG_BYTES, read_text

# Ten times the deepest published model.
MOST_LAYERS = 10_000
# Texts in configurations are names, and refusals repeat them.
MOST_LETTERS = 1_000
_MISSING = object()


def read_json(path: Path, most: int = CONFIG_BYTES) -> dict[str, Any]:
    """A JSON object from a file of at most so many bytes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: too large, not JSON, or not an object.
    """
    names = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() and not path.exists() else []
    text = read_text(path, most, missing=f"{path.parent} holds {', '.join(names[:12]) or 'nothing'}")
    value = parse_json(text, str(path), "download it again")
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
        if isinstance(value, str) and len(value) > MOST_LETTERS:
            raise ValueError(f"{self.where}: field {name} has {len(value)} letters; needs a name")
        # bool is an int in Python, and an int is a good float in JSON.
        if isinstance(value, bool):
            good = bool in kinds
        elif float in kinds and isinstance(value, int | float):
            return scalars.real(value, f"{self.where}: field {name}")
        elif int in kinds and isinstance(value, int):
            return scalars.integer(value, f"{self.where}: field {name}", -scalars.INT32_MAX)
        else:
            good = isinstance(value, kinds)
        if not good:
            names = " or ".join(k.__name__ for k in kinds)
            raise ValueError(f"{self.where}: field {name} is {scalars.shown(value)}; needs {names}")
        return value

    def positive(self, name: str, default: Any = _MISSING, most: int = scalars.INT32_MAX) -> int:
        """A whole number above zero, and no more than `most`."""
        value = self.take(name, int, default)
        return scalars.integer(value, f"{self.where}: field {name}", 1, most)

    def layers(self, name: str) -> int:
        """A number of layers: small, for things are made layer by layer before anything can be compared with files."""
        return self.positive(name, most=MOST_LAYERS)

    def texts(self, name: str, default: Any = _MISSING) -> list[str]:
        """A list of strings.

        Raises:
            ValueError: absent without a default, no list, or something in it is no string.
        """
        values = self.take(name, list, default)
        if any(not isinstance(value, str) for value in values or ()):
            raise ValueError(f"{self.where}: field {name} is {scalars.shown(values)}; needs a list of strings")
        return values

    def inner(self, name: str) -> "Fields":
        """The fields of an object that is a field."""
        return Fields(f"{self.where} {name}", self.take(name, dict))

    def look(self, name: str) -> Any:
        """A field that somebody else takes; None where it is absent."""
        return self._left.get(name)

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
            came = scalars.shown(given)
            raise ValueError(f"{self.where}: field {name} is {came}, which changes the model in a way not read here")

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
            left = ", ".join(f"{name}={scalars.shown(value)}" for name, value in sorted(self._left.items()))
            raise ValueError(
                f"{self.where}: unknown fields {left}; what they change is not known here, so they are not skipped"
            )
