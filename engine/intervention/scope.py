"""Where along the tokens an edit acts, as intervals of absolute positions.

With a prompt of T tokens:

    last_prompt              [T-1, T)        the token the first answer is read from
    decode                   [T, inf)        every generated token
    last_prompt_and_decode   [T-1, inf)      the original study's
    all                      [0, inf)        every token
    positions:2:5,-1         [2, 5), [T-1, T)   explicit ones; negative positions count from the end of the prompt

Explicit positions may need several intervals, and so several slots of an edit. A number, or a list of numbers, stands
for those positions: 3, [0, -1].

Where each prompt is known, positions may be names, as in positions:user.last,"Mary" (`engine/places.py`); `numbered`
puts numbers in their place, one interval for each.
"""

import itertools
import re
from collections.abc import Callable, Sequence

from causeway.engine import scalars
from causeway.engine.intervention.edits import FOREVER

NAMED = ("last_prompt", "decode", "last_prompt_and_decode", "all")
_EXPLICIT = "positions:"
_INTERVAL = re.compile(r"(-?[0-9]+)|(-?[0-9]+)?:(-?[0-9]+)?")
# Parts between commas; a quoted text may hold some.
_PART = re.compile(r'(?:"[^"]*"|[^,"])+|(?<=,)(?=,|$)|"')

Scope = str | int | slice | Sequence[int]


def scope_text(scope: Scope, name: str = "scope") -> str:
    """A scope as text, whichever way it was written.

    Raises:
        ValueError: unknown scope, or positions that cannot be read.
    """
    if isinstance(scope, slice):
        return _of_slice(scope, name)
    if isinstance(scope, str):
        for part in _parts(scope):
            if part not in NAMED and not _INTERVAL.fullmatch(part.strip()):
                raise ValueError(f"{name}: cannot read the position {part!r}; write 7, -1 or 2:5")
        return scope
    try:
        positions = scalars.integers(scope, name, -scalars.INT32_MAX).ravel().tolist()
    except ValueError:
        positions = []
    if not positions:
        raise ValueError(
            f"{name}: got {scalars.shown(scope)}; needs one of {', '.join(NAMED)}, positions:P[,P:Q...], a position or "
            "a list of positions"
        )
    return _EXPLICIT + ",".join(map(str, positions))


def _of_slice(scope: slice, name: str) -> str:
    """Positions of the prompt; no start is its beginning, no stop its end."""
    if scope.step not in (None, 1):
        raise ValueError(f"{name}: got {scope}; needs a slice of neighbouring positions, or a list of positions")
    start, stop = (
        "" if end is None else scalars.integer(end, name, -scalars.INT32_MAX) for end in (scope.start, scope.stop)
    )
    return f"{_EXPLICIT}{start}:{stop}"


def numbered(scope: str, find: Callable[[str], tuple[int, int]]) -> str:
    """A scope with positions in place of names.

    Args:
        find: the interval [start, stop) of a name; raises ValueError for one that there is not.

    Raises:
        ValueError: neither a scope nor names.
    """
    if scope in NAMED:
        return scope
    return _EXPLICIT + ",".join(
        part if _INTERVAL.fullmatch(part.strip()) else "{}:{}".format(*find(part.strip())) for part in _parts(scope)
    )


def positions_of(
    positions: str, prompt_length: int, where: str, find: Callable[[str], tuple[int, int]] | None = None
) -> list[int]:
    """The tokens of a prompt that positions name, as a scope's: 2:5,-1,user.last.

    Args:
        where: the argument, for errors. find: as for `numbered`; None where there are no names.

    Raises:
        ValueError: positions that cannot be read, or that the prompt does not have.
    """
    scope = _EXPLICIT + positions
    try:
        spans = intervals(numbered(scope, find) if find else scope, prompt_length)
    except ValueError as error:
        raise ValueError(f"{where}: {str(error).removeprefix('scope: ')}") from None
    return [position for start, stop in spans for position in range(start, stop)]


def slots(scope: Scope) -> int:
    """How many intervals a scope needs, whatever the prompt's length.

    Raises:
        ValueError: unknown scope.
    """
    return len(_parts(scope_text(scope)))


def intervals(scope: Scope, prompt_length: int) -> list[tuple[int, int]]:
    """[start, stop) pairs of a scope for a prompt of T tokens.

    Raises:
        ValueError: unknown scope, a position outside the prompt, or one named twice.
    """
    last = prompt_length - 1
    named = {
        "last_prompt": (last, last + 1),
        "decode": (last + 1, FOREVER),
        "last_prompt_and_decode": (last, FOREVER),
        "all": (0, FOREVER),
    }
    parts = _parts(scope_text(scope))
    spans = sorted(named[part] if part in named else _interval(part, prompt_length) for part in parts)
    for (_, stop), (start, _) in itertools.pairwise(spans):
        if start < stop:
            raise ValueError(f"scope: {scope!r} names position {start} of a prompt of {prompt_length} tokens twice")
    return spans


def words(scope: str) -> str:
    """A scope as a reader of results is told it: "at the last prompt token".

    Raises:
        ValueError: unknown scope.
    """
    named = {
        "last_prompt": "at the last prompt token",
        "decode": "at every token of the answer",
        "last_prompt_and_decode": "at the last prompt token and every token of the answer",
        "all": "at every token",
    }
    parts = _parts(scope)
    return named.get(scope) or f"at position {', '.join(parts)} of the prompt"


def _parts(scope: str) -> list[str]:
    """The texts of a scope's intervals."""
    if scope in NAMED:
        return [scope]
    if not scope.startswith(_EXPLICIT) or len(scope) == len(_EXPLICIT):
        raise ValueError(f"scope: got {scope!r}; needs one of {', '.join(NAMED)} or positions:P[,P:Q...]")
    return _PART.findall(scope.removeprefix(_EXPLICIT))


def _interval(text: str, length: int) -> tuple[int, int]:
    match = _INTERVAL.fullmatch(text.strip())
    if not match:
        raise ValueError(f"scope: cannot read the position {text!r}; write 7, -1 or 2:5")
    start, stop = (int(match[1]),) * 2 if match[1] else (int(match[2] or 0), int(match[3] or length))
    start, stop = (end + length if end < 0 else end for end in (start, stop))
    stop += bool(match[1])
    if not 0 <= start < stop <= length:
        raise ValueError(f"scope: {text!r} is outside a prompt of {length} tokens")
    return start, stop
