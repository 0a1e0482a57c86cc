"""Numbers that are not numbers: seen at the end of every pass, traced to the place where they began.

An infinity or NaN in a stream never heals: sums, norms (`transformer`, which make NaN of what they cannot measure) and
the activations of dictionaries (`dictionary.activations`) hand it on. So what a pass gives out, its last stream, what
was read, or a log probability, tells for the whole of it: one reduction of what is there anyway. Only real tokens
count: padding and rows that fill a bucket may hold anything.

When that fails, `traced` runs the same function again, operation by operation (`jax.disable_jit`), while every stream
shows itself to a watcher (`seen`), and the first one that is not finite is named: layer, site, row, token. Streams
that attention and MLP add to count as broken already where a norm's sum of squares would overflow.

Cost: nothing beside the reduction as long as all is well; then one slow pass.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jaxtyping import Array, Bool, Float

from causeway.engine.arrays import AnyArray

# Streams that the next norm squares.
SQUARED = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")
ONCE = ("embed", "final_norm", "logits")


class NotFiniteError(ValueError):
    """A pass, a dictionary or a result holds an infinity or NaN; the message says where and what to do.

    Attributes:
        row: of the rows that were run together.
    """

    def __init__(self, message: str, row: int = 0):
        super().__init__(message)
        self.row = row

    def of(self, what: str) -> "NotFiniteError":
        """The same, saying first what was run."""
        return NotFiniteError(f"{what}: {self}", self.row)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where numbers ended.

    Attributes:
        layer: where the site is in a block. site: a stream, or what was read of it. row: of those
            that ran together. position: the token's, -1 where none is known. dtype: of the stream. largest: the
            largest finite size there. finite: whether it is only the squares that are too large. edited: whether an
            edit of this very stream did it.
    """

    layer: int
    site: str
    row: int
    position: int
    dtype: str
    largest: float
    finite: bool
    edited: bool

    def __str__(self) -> str:
        """One line: the place, what is wrong, what to do."""
        site = self.site if self.site in ONCE else f"layer {self.layer} {self.site}"
        if self.finite:
            wrong = f"reaches {self.largest:.3g}, too large for {self.dtype} to hold its square, which the norm needs"
        else:
            limit = float(ml_dtypes.finfo(self.dtype).max)
            wrong = f"is not finite in {self.dtype}, which holds numbers up to {limit:.5g}"
        where = f" (position {self.position})" if self.position >= 0 else ""
        return f"{site} {wrong}{where}; {self._advice()}"

    def _advice(self) -> str:
        if self.edited:
            return "the edit there makes it so: give it a smaller value"
        if self.dtype == "float16":
            return "compute in bfloat16 or float32 (compute=, --compute)"
        return "check that the weights, and the values of edits, are what they should be"


def rows_finite(x: Float[Array, "B T *W"]) -> Bool[Array, "B T"]:
    """Whether all numbers of a token are finite."""
    return jnp.all(jnp.isfinite(x), axis=tuple(range(2, x.ndim)))


def sums_finite(x: Float[Array, " B *W"]) -> Bool[Array, " B"]:
    """Whether the numbers of a row have a finite sum: a first look at half the cost, which the host confirms where it
    fails, as finite numbers may have a sum that is not."""
    return jnp.isfinite(jnp.sum(x, axis=tuple(range(1, x.ndim))))


def all_finite(values: AnyArray) -> bool:
    """Whether all numbers of a host array are finite: a sum tells, and is several times faster than each number."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(values)
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def seen(site: str, layer: Any, x: Array, real: Any = None, positions: Any = None, edited: bool = False) -> None:
    """Show a stream [B, T, ...] to the watcher, where there is one.

    Args:
        real: which tokens count, [B, T] or what broadcasts to it; None: all. positions: of the tokens, likewise.
        edited: whether it has just been edited.
    """
    watcher = _WATCHER.get()
    if watcher is not None and not isinstance(x, jax.core.Tracer):
        watcher(site, layer, x, real, positions, edited)


def traced(again: Callable[[], object], rows: AnyArray | None = None) -> NotFiniteError:
    """The error that names the place where the numbers of a pass ended.

    Args:
        again: runs the pass once more: the plain function, not its compiled program.
        rows: [B] of those that ran together, the ones to look at.
    """
    with _watching(_Watcher(None if rows is None else np.asarray(rows))) as found:
        again()
    if found:
        return NotFiniteError(str(found[0]), found[0].row)
    return NotFiniteError(
        "what was computed is not finite, but a second pass, operation by operation, is; the values lie at the edge of "
        "the dtype: compute in a wider one (compute=, --compute)",
        0 if rows is None else int(np.argmax(rows)),
    )


def refuse(again: Callable[[], object], rows: AnyArray | None = None) -> NoReturn:
    """Raise what `traced` finds."""
    raise traced(again, rows)


class _Found(Exception):
    """Ends the second pass."""


@contextlib.contextmanager
def _watching(watcher: "_Watcher") -> Iterator[list[Place]]:
    token = _WATCHER.set(watcher)
    try:
        with jax.disable_jit():
            yield watcher.found
    except _Found:
        pass
    finally:
        _WATCHER.reset(token)


class _Watcher:
    """Looks at every stream that passes, and ends the pass at the first that is not finite."""

    def __init__(self, rows: Bool[np.ndarray, " B"] | None):
        self.rows = rows
        self.found: list[Place] = []

    def __call__(self, site: str, layer: Any, x: Array, real: Any, positions: Any, edited: bool) -> None:
        values = np.asarray(x)
        # Patterns are [B, H, T, S]: the tokens of every other stream are the second axis.
        values = np.moveaxis(values, 2, 1) if site == "attn_pattern" else values
        values = values.reshape(*values.shape[:2], -1).astype(np.promote_types(np.float32, _plain(values.dtype)))
        counted = np.ones(values.shape[:2], bool) if real is None else np.asarray(real)
        if self.rows is not None and len(self.rows) == len(values):
            counted = counted & self.rows[:, None]
        finite = np.isfinite(values).all(axis=-1)
        whole = finite
        if site in SQUARED:
            with np.errstate(over="ignore", invalid="ignore"):
                whole = np.isfinite(np.square(values).sum(axis=-1))
        if not (bad := counted & ~whole).any():
            return
        row, token = map(int, np.unravel_index(bad.argmax(), bad.shape))
        here = values[row, token]
        largest = float(np.abs(here[np.isfinite(here)]).max(initial=0))
        at = -1 if positions is None else int(np.broadcast_to(np.asarray(positions), bad.shape)[row, token])
        only_squares = bool(finite[row, token])
        self.found.append(Place(int(layer), site, row, at, str(x.dtype), largest, only_squares, edited))
        raise _Found


def _plain(dtype: np.dtype) -> np.dtype:
    """What numpy can promote: its own dtype as wide as a 16-bit one at least."""
    return dtype if dtype in (np.float32, np.float64) else np.dtype(np.float32)


_WATCHER: ContextVar[_Watcher | None] = ContextVar("watcher", default=None)
