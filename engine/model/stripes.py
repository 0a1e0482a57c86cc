"""Rows on their way through generation: buckets of them, one a device, dealt and repacked.

A stripe is one bucket on each device. Rows that are over leave between segments, and live ones of the last stripes take
their places, so that the batch stays full; a row's numbers do not depend on its place.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding
from jaxtyping import Array, Bool, Int

from causeway.engine.devices import RowParallel
from causeway.engine.gathered import to_host
from causeway.engine.intervention.edits import Edit
from causeway.engine.model.buckets import cut
from causeway.engine.model.cache import Segment
from causeway.engine.model.decode import Rows

# What rows carry: edits, state, keys and values that they have added.
_Arrays = tuple[tuple[Edit, ...], Rows, tuple[Segment, ...]]


@dataclasses.dataclass
class Stripe:
    """One bucket on each device; the arrays of edits, rows and past lead with the device axis.

    Attributes:
        ids: of each device the rows of the bucket that are used, as row numbers of the request.
        edits: of each row.
        rows: what a row carries from token to token.
        past: keys and values that the rows have added.
    """

    ids: list[np.ndarray]
    edits: tuple[Edit, ...]
    rows: Rows
    past: tuple[Segment, ...]

    @property
    def width(self) -> int:
        """Rows of a bucket."""
        return self.rows.token.shape[1]

    def without(self, over: Bool[np.ndarray, " R"], parallel: RowParallel) -> "Stripe":
        """The stripe in which the rows that are over do not live on."""
        gone = np.stack([over[padded(bucket, self.width)] for bucket in self.ids])
        live = parallel.split(to_host(self.rows.live) & ~gone)
        return dataclasses.replace(self, rows=dataclasses.replace(self.rows, live=live))


def deal(ids: Int[np.ndarray, " n"], width: int, parallel: RowParallel) -> list[list[np.ndarray]]:
    """Row numbers cut into buckets, and these dealt to devices in order; devices without one get an empty bucket."""
    return parallel.deal(cut(ids, width), filler=ids[:0])


def repack(stripes: list[Stripe], parallel: RowParallel) -> list[Stripe]:
    """Live rows of all stripes in as few as hold them: those of the last stripes go where rows of the others are over.

    What stays is not touched, and what moves is moved on the devices. A stripe's last dead rows keep their places.
    """
    live = [to_host(stripe.rows.live).reshape(-1) for stripe in stripes]
    needed = -(-sum(int(rows.sum()) for rows in live) // live[0].size)
    kept, gone = stripes[:needed], stripes[needed:]
    moving = [np.flatnonzero(rows) for rows in live[needed:]]
    free = [np.flatnonzero(~rows) for rows in live[:needed]]
    for source, rows in zip(gone, moving, strict=True):
        for index, places in enumerate(free):
            count = min(len(places), len(rows))
            if count:
                kept[index] = _filled(kept[index], places[:count], source, rows[:count], parallel)
                free[index], rows = places[count:], rows[count:]
    return kept


def _filled(
    stripe: Stripe, places: Int[np.ndarray, " n"], source: Stripe, rows: Int[np.ndarray, " n"], parallel: RowParallel
) -> Stripe:
    """The stripe with rows of another in some of its places; both count over the devices' buckets."""
    taken = np.full(parallel.count * stripe.width, -1, np.int32)
    taken[places] = rows
    ids = np.concatenate([padded(bucket, stripe.width) for bucket in stripe.ids])
    ids[places] = np.concatenate([padded(bucket, source.width) for bucket in source.ids])[rows]
    where = parallel.split(taken.reshape(parallel.count, -1))
    arrays, others = ((one.edits, one.rows, one.past) for one in (stripe, source))
    moved = _mover(where.sharding if parallel.model == 1 else None)(arrays, others, where)
    return Stripe(np.split(ids, parallel.count), *moved)


@functools.cache
def _mover(sharding: Sharding | None) -> Callable[[_Arrays, _Arrays, Int[Array, "devices B"]], _Arrays]:
    """`_take_rows`, with results placed as rows are when they start: another placing would be another program.

    Without a placing the compiler chooses: caches may be split along `model`.
    """
    return jax.jit(_take_rows, out_shardings=sharding)


def _take_rows(stripe: _Arrays, source: _Arrays, taken: Int[Array, "devices B"]) -> _Arrays:
    """Arrays of a stripe, with row `taken` of the other's in each place where that is not -1; one program a boundary.

    Caches are [devices, G, B, S, K], other arrays [devices, B, ...]; a segment's first step is the same for all rows.
    """
    device, row = jnp.divmod(jnp.maximum(taken, 0), taken.shape[1])

    def of(old: Array, new: Array) -> Array:
        moved = (taken >= 0).reshape(*taken.shape, *[1] * (old.ndim - 2))
        return jnp.where(moved, new[device, row], old)

    def of_cache(old: Array, new: Array) -> Array:
        if old.ndim == 1:
            return old
        group = jnp.arange(old.shape[1])[:, None]
        return jnp.where((taken >= 0)[:, None, :, None, None], new[device[:, None], group, row[:, None]], old)

    (edits, rows, past), (new_edits, new_rows, new_past) = stripe, source
    return (*jax.tree.map(of, (edits, rows), (new_edits, new_rows)), jax.tree.map(of_cache, past, new_past))


def padded(ids: Int[np.ndarray, " n"], width: int) -> Int[np.ndarray, " B"]:
    """Row numbers, padded to the bucket's width with a dummy row (never live)."""
    return np.concatenate([ids, np.full(width - len(ids), ids[0] if len(ids) else 0)])


def used(ids: list[np.ndarray], width: int) -> Bool[np.ndarray, "devices B"]:
    """Which rows of each device's bucket are rows of the request."""
    return np.stack([np.arange(width) < len(bucket) for bucket in ids])


def forced_tokens(
    forced: Int[np.ndarray, "R N"] | None, ids: np.ndarray, drawn: int, length: int, width: int
) -> Int[np.ndarray, "S B"]:
    """Tokens that a bucket's rows take instead of drawing, in the segment from step `drawn` on; -1 to draw."""
    if forced is None:
        return np.full((length, width), -1, np.int32)
    return np.asarray(forced, np.int32)[padded(ids, width), drawn : drawn + length].T
