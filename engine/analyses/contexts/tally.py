"""What is kept of each feature while texts are read: of one size however long they are, and two of them make one.

A context is a row of text at its strongest token: the place where |f| is largest, the first of equal ones. Kept are

    top         the k contexts of the largest |f|
    sample      n contexts of each band, drawn without bias; band b holds 2^-(b+1) < |f| / max |f| <= about 2^-b, the
                last one everything below
    histogram   of |f| over all active tokens: HALVES bins an octave (edges 1, 1.5, 2, 3, 4, 6 ...) below the maximum's
                own, the last one everything below
    tokens      active tokens, by group of texts
    rows        rows with an active token

Bands and bins are counted down from the largest value yet, so nothing about a feature's scale has to be known before
the texts are read: when the maximum grows, contents move down, and what falls below the last stays in it. Edges are
those of the floating-point format, read from its bits, so no rounding decides where a value belongs.

Contexts are ordered by (|f| or band, order, token). The order is a hash of what a row says, of layer and feature: the
n smallest of a band are a uniform draw of its rows, and the same one however the rows are dealt into passes, devices
and units. Everything here is exact under any such dealing.

Shapes: K slots, W tokens of a window around the strongest one, G groups, F features; these come last, as all that is
done is done to each of them alike.
Memory: F (k + bands n) (3 + W) numbers, and F (G + bins + 1).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt

from causeway.engine.arrays import AnyArray

GROUPS = 16
HALVES = 2
BINS = 20
# Bits of a float32 below its exponent.
_MANTISSA = 23


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is kept of a feature.

    Attributes:
        top: k. bands: of the sample. each: n contexts of each band. reach: tokens kept on each side of the strongest.
    """

    top: int = 10
    bands: int = 5
    each: int = 3
    reach: int = 10

    @property
    def sampled(self) -> int:
        """Slots of the sample."""
        return self.bands * self.each

    @property
    def window(self) -> int:
        """W."""
        return 2 * self.reach + 1


class Contexts(NamedTuple):
    """Contexts of features; slots whose value is 0 are empty.

    value: f at the strongest token. order: hash. token: row times places of a row, plus the place. window: f of the
    tokens around it, 0 where there is none.
    """

    value: Float[AnyArray, "K F"]
    order: UInt[AnyArray, "K F"]
    token: Int[AnyArray, "K F"]
    window: Float[AnyArray, "K W F"]


class Tally(NamedTuple):
    """All that is kept; see above."""

    top: Contexts
    sample: Contexts
    histogram: Int[AnyArray, "bins F"]
    tokens: Int[AnyArray, "G F"]
    rows: Int[AnyArray, " F"]

    def named(self) -> dict[str, AnyArray]:
        """The arrays by name."""
        both = {f"{kind}_{name}": a for kind in ("top", "sample") for name, a in getattr(self, kind)._asdict().items()}
        return both | {name: getattr(self, name) for name in ("histogram", "tokens", "rows")}

    @classmethod
    def of_named(cls, arrays: Mapping[str, AnyArray]) -> "Tally":
        """From arrays by name."""
        top, sample = (Contexts(*(arrays[f"{kind}_{n}"] for n in Contexts._fields)) for kind in ("top", "sample"))
        return cls(top, sample, arrays["histogram"], arrays["tokens"], arrays["rows"])


def nothing(features: int, sizes: Sizes) -> Tally:
    """The tally of no text."""

    def empty(slots: int) -> Contexts:
        value, order, token = (jnp.zeros((slots, features), kind) for kind in (jnp.float32, jnp.uint32, jnp.int32))
        return Contexts(value, order, token, jnp.zeros((slots, sizes.window, features), jnp.float32))

    histogram, tokens = (jnp.zeros((count, features), jnp.int32) for count in (BINS, GROUPS))
    return Tally(empty(sizes.top), empty(sizes.sampled), histogram, tokens, jnp.zeros(features, jnp.int32))


def merged(one: Tally, other: Tally, sizes: Sizes) -> Tally:
    """The tally of the texts of two; neither needs as many slots as the result."""
    own = jnp.stack([jnp.max(jnp.abs(each.top.value), axis=0) for each in (one, other)])
    largest = jnp.max(own, axis=0)
    down = bin_of(largest) - bin_of(own)
    return Tally(
        _taken(one.top, other.top, _by_size, sizes.top),
        _taken(one.sample, other.sample, partial(_by_band, largest=largest, sizes=sizes), sizes.sampled),
        moved(one.histogram, down[0]) + moved(other.histogram, down[1]),
        one.tokens + other.tokens, one.rows + other.rows,
    )  # fmt: skip


def bin_of(size: Float[AnyArray, "*shape"]) -> Int[Array, "*shape"]:
    """The bin of the floating-point format that a size is in: HALVES an octave."""
    return _bits(size) >> (_MANTISSA - (HALVES - 1))


def lower_edge(number: Int[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """The least size of a bin."""
    bits = jnp.asarray(number, jnp.int32) << (_MANTISSA - (HALVES - 1))
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def moved(histogram: Int[AnyArray, "bins F"], by: Int[Array, " F"]) -> Int[Array, "bins F"]:
    """Counts moved down by some bins; the last bin keeps what falls below it."""
    last = len(histogram) - 1
    source = jnp.arange(last)[:, None] - by
    own = jnp.where(source >= 0, jnp.take_along_axis(histogram, jnp.clip(source, 0, last), axis=0), 0)
    return jnp.concatenate([own, (histogram.sum(axis=0) - own.sum(axis=0))[None]])


def _bits(size: Float[AnyArray, "*shape"]) -> Int[Array, "*shape"]:
    """A size's bits as a number, which grows with it."""
    return jax.lax.bitcast_convert_type(jnp.abs(size).astype(jnp.float32), jnp.int32)


Keys = tuple[Float[Array, "K F"], UInt[Array, "K F"], Int[Array, "K F"]]


def _taken(one: Contexts, other: Contexts, slots: Callable[[Keys], Int[Array, "K F"]], count: int) -> Contexts:
    """Some contexts of both, in the slots that their keys (value, order, token) give them; from `count` on: none.

    Windows are not joined before they are chosen from: most are not.
    """
    first = len(one.value)
    keys: Any = tuple(jnp.concatenate(pair) for pair in zip(one[:3], other[:3], strict=True))
    chosen = slots(keys) == jnp.arange(count)[:, None, None]
    place = jnp.sum(jnp.where(chosen, jnp.arange(len(keys[0]))[:, None], 0), axis=1)
    # Or the compiler finds the place again for each token of a window.
    place, there = jax.lax.optimization_barrier((place, jnp.any(chosen, axis=1)))
    mine, theirs = (
        jnp.take_along_axis(each.window, jnp.clip(at, 0, len(each.window) - 1)[:, None], axis=0)
        for each, at in ((one, place), (other, place - first))
    )
    window = jnp.where((place < first)[:, None], mine, theirs)
    value, order, token = (jnp.where(there, jnp.take_along_axis(key, place, axis=0), 0) for key in keys)
    return Contexts(value, order, token, jnp.where(there[:, None], window, 0))


def _by_size(keys: Keys) -> Int[Array, "K F"]:
    """The slots of contexts, largest first."""
    return _rank((-_bits(keys[0]), *keys[1:]), jnp.zeros_like(keys[2]))


def _by_band(keys: Keys, largest: Float[Array, " F"], sizes: Sizes) -> Int[Array, "K F"]:
    """The slots of the first contexts of each band by their order, band by band."""
    octave = (_bits(largest) >> _MANTISSA) - (_bits(keys[0]) >> _MANTISSA)
    band = jnp.where(keys[0] != 0, jnp.clip(octave, 0, sizes.bands - 1), sizes.bands)
    rank = _rank(keys[1:], band)
    return jnp.where((rank < sizes.each) & (band < sizes.bands), band * sizes.each + rank, sizes.sampled)


def _rank(keys: Sequence[Array], group: Int[Array, "K F"]) -> Int[Array, "K F"]:
    """How many contexts of a context's group come before it by some keys, of equal ones the earlier.

    Counted and not sorted: of so few that takes a twentieth of the time.
    """
    place = jnp.arange(len(group))[:, None]

    def count(before: Int[Array, "K F"], other: tuple[Array, ...]) -> tuple[Int[Array, "K F"], None]:
        number, same, *theirs = other
        less = number < place
        for own, their in zip(reversed(keys), reversed(theirs), strict=True):
            less = (their < own) | ((their == own) & less)
        return before + (less & (same == group)), None

    return jax.lax.scan(count, jnp.zeros_like(group), (place[:, 0], group, *keys))[0]
