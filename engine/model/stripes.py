"""Rows on their way through generation: buckets of them, one a device, dealt and repacked.

A stripe is one bucket on each device. Rows that are over leave between segments, and the live ones of all stripes are
gathered into as few buckets as hold them, so that the batch stays full; a row's numbers do not depend on its place.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from causeway.engine.devices import RowParallel
from causeway.engine.intervention.edits import Edit
from causeway.engine.model.buckets import cut
from causeway.engine.model.cache import Segment
from causeway.engine.model.decode import Rows


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
        live = parallel.split(np.asarray(self.rows.live) & ~gone)
        return dataclasses.replace(self, rows=dataclasses.replace(self.rows, live=live))


def deal(ids: Int[np.ndarray, " n"], width: int, parallel: RowParallel) -> list[list[np.ndarray]]:
    """Row numbers cut into buckets, and these dealt to devices in order; devices without one get an empty bucket."""
    return parallel.deal(cut(ids, width), filler=ids[:0])


def repack(stripes: list[Stripe], parallel: RowParallel) -> list[Stripe]:
    """Live rows of all stripes in their order, in as few buckets as hold them."""
    live = [np.asarray(s.rows.live).reshape(-1) for s in stripes]
    ids = [np.concatenate([padded(bucket, s.width) for bucket in s.ids]) for s in stripes]
    total, taken = sum(int(a.sum()) for a in live), sum(len(bucket) for s in stripes for bucket in s.ids)
    if total == taken:
        return stripes
    where = np.concatenate([np.stack([np.full(a.sum(), i), np.flatnonzero(a)]) for i, a in enumerate(live)], axis=1)
    numbers = np.concatenate([ids[i][live[i]] for i in range(len(stripes))])
    dealt = deal(np.arange(total), stripes[0].width, parallel)
    return [_gather(stripes, where, numbers, places, parallel) for places in dealt]


def _gather(
    stripes: list[Stripe], where: np.ndarray, numbers: np.ndarray, places: list[np.ndarray], parallel: RowParallel
) -> Stripe:
    """The stripe whose rows are the live rows `places`; where [2, live] names each one's stripe and flat place."""
    width, devices = stripes[0].width, parallel.count
    wanted = np.concatenate([padded(bucket, width) for bucket in places])
    sources, source = np.unique(where[0, wanted], return_inverse=True)
    flat = jnp.asarray(source * devices * width + where[1, wanted])

    def rows_of(axis: int, *leaves: jax.Array) -> jax.Array:
        if leaves[0].ndim == 1:  # a segment's first step, the same for all rows
            return leaves[0]
        joined = jnp.concatenate([jnp.moveaxis(a, axis, 1).reshape(-1, *_without(a.shape, axis)) for a in leaves])
        taken = joined[flat].reshape(devices, width, *joined.shape[1:])
        return jnp.moveaxis(taken, 1, axis)

    parts = [stripes[i] for i in sources]
    edits, rows = jax.tree.map(partial(rows_of, 1), *[(s.edits, s.rows) for s in parts])
    past = jax.tree.map(partial(rows_of, 2), *[s.past for s in parts])
    rows = dataclasses.replace(rows, live=used(places, width))
    ids = [numbers[bucket] for bucket in places]
    return Stripe(ids, *(parallel.split(tree) for tree in (edits, rows, past)))


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """The shape beyond the device axis, the row axis taken out."""
    return tuple(n for i, n in enumerate(shape) if i not in (0, axis))


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
