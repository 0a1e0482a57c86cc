"""What is kept of a pass: small objects that run inside the compiled program, one layer at a time.

    Last                    every feature's value at a row's one place
    Mean, Max               its mean, its greatest value over a row's places
    TopK                    the k largest of each place, and how often every feature is active
    Raw                     the streams themselves, all layers at once
    Total                   the sum of a stream over all places
    Moments                 sums from which the quality of a reconstruction follows
    CrossedMoments          the same of dictionaries that cross layers, all layers at once
    AnswerLogProbabilities  log P(label) of the token after each place
    TopLogits               the k largest logits of the token after each place

A reduction is static: its fields choose the program, and arrays that it needs are given beside it (`Place.data`). It is
called with a `Place`, and its results are arrays by name. Those named in `totals` are sums over the rows of a device;
all others have the rows first. Rows are reduced one after another (`lax.map`) where every token is encoded: one [S, F]
at a time, and bits that do not depend on how many rows there are.

Shapes: B rows of a device, S places of a row, D stream, F features, P layers, V vocabulary.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.dictionary.largest import largest

Results = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Place:
    """One layer of a pass on one device, as a reduction meets it inside the program.

    Attributes:
        streams: [B, S, D] each, in float32 or better, `head_out` with its heads side by side; for reductions of all
            layers at once [P, B, S, D].
        there: which places are read.
        labels: a number for each.
        layer: the layer's number in the dictionary, perhaps traced.
        index: which of the layers read it is, perhaps traced.
        dictionary, transformer: what was given to `read`; absent where the reduction needs none.
        data: the arrays given to `read` for the reduction.
        slopes: of the reduction's `numbers` with respect to the streams that it has `pulled`, [A, P, B, S, D] each.
        carried: what the layer's pass before this one has left on the device.
    """

    streams: tuple[Float[Array, "*P B S D"], ...]
    there: Bool[Array, "B S"]
    labels: Int[Array, "B S"]
    layer: int | Array = 0
    index: int | Array = 0
    dictionary: Any = None
    transformer: Any = None
    data: Any = None
    slopes: tuple[Float[Array, "A P B S D"], ...] = ()
    carried: Any = None

    def encode(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows F"]:
        """All feature values of the layer."""
        return self.dictionary.encode_at(self.layer, x)


class Reduction:
    """What `read` calls.

    Attributes:
        totals: names of results that are sums over the rows of a device.
        by_feature: the result, [..., F], that tells which feature is not a number; "" where none does.
        whole: whether all layers are reduced by one call.
        reads_model: whether it needs the transformer.
        carries: whether a pass goes on from what the one before it has left on its device: a result `carried`, arrays
            by name, which do not travel to the host until the last pass. Of one layer at a time.
    """

    totals: ClassVar[tuple[str, ...]] = ()
    by_feature: ClassVar[str] = ""
    whole: ClassVar[bool] = False
    reads_model: ClassVar[bool] = False
    carries: ClassVar[bool] = False

    @property
    def pulled(self) -> tuple[str, ...]:
        """Streams whose slopes are wanted, by one pass back; only where no dictionary is read."""
        return ()

    @property
    def constant(self) -> tuple[str, ...]:
        """Streams, and denominators of norms, that are constants on the way back."""
        return ()

    def numbers(self, at: Place) -> Float[Array, "B A"]:
        """What the slopes are of: numbers of each row, from its streams; a pass back for each of the A."""
        raise NotImplementedError

    def start(self) -> Results:
        """What the first pass goes on from, where it carries."""
        raise NotImplementedError

    def __call__(self, at: Place) -> Results:
        """The results of one layer."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Last(Reduction):
    """values: [B, F] of rows with one place."""

    by_feature = "values"

    def __call__(self, at: Place) -> Results:
        """Encode all rows as one matrix."""
        return {"values": at.encode(at.streams[0][:, 0])}


@dataclasses.dataclass(frozen=True)
class Mean(Reduction):
    """values: [B, F] means over the places of a row."""

    by_feature = "values"

    def __call__(self, at: Place) -> Results:
        """Row by row."""

        def mean(x: Float[Array, "S D"], there: Bool[Array, " S"]) -> Float[Array, " F"]:
            f = jnp.where(there[:, None], at.encode(x), 0)
            return f.sum(axis=0) / jnp.maximum(there.sum(), 1).astype(f.dtype)

        return {"values": _by_row(mean, at)}


@dataclasses.dataclass(frozen=True)
class Max(Reduction):
    """values: [B, F] greatest values over the places of a row."""

    by_feature = "values"

    def __call__(self, at: Place) -> Results:
        """Row by row."""

        def greatest(x: Float[Array, "S D"], there: Bool[Array, " S"]) -> Float[Array, " F"]:
            f = jnp.where(there[:, None], at.encode(x), -jnp.inf).max(axis=0)
            return jnp.where(jnp.any(there), f, 0)

        return {"values": _by_row(greatest, at)}


@dataclasses.dataclass(frozen=True)
class TopK(Reduction):
    """The strongest features of each place, and frequencies.

    ids, values: [B, S, k]. any, mean, strength: sums over rows of whether a feature is active at one place at least,
    of the share of places at which it is, and of its mean value, [F]. active_any, active_mean: [B] features active at
    one place at least, and features active a place. f: [B, S, F], with `full`.
    """

    k: int
    full: bool = False
    totals: ClassVar[tuple[str, ...]] = ("any", "mean", "strength")
    by_feature = "strength"

    def __call__(self, at: Place) -> Results:
        """Row by row: a top-k of a matrix is the fast one."""

        def of_row(x: Float[Array, "S D"], there: Bool[Array, " S"]) -> Results:
            f = at.encode(x)
            values, ids = largest(f, self.k)
            on, count = (f != 0) & there[:, None], jnp.maximum(jnp.sum(there), 1)
            # The barrier keeps `count` a run-time array. With a constant divisor XLA divides on one device but
            # multiplies by the reciprocal on several, and the last bit differs.
            counts = jax.lax.optimization_barrier(jnp.full(f.shape[1], count, f.dtype))
            share, strength = jnp.sum(on, axis=0) / counts, jnp.sum(jnp.where(on, f, 0), axis=0) / counts
            out = {"ids": ids, "values": values, "any": jnp.any(on, axis=0), "mean": share, "strength": strength}
            active = {"active_any": jnp.sum(jnp.any(on, axis=0)), "active_mean": jnp.sum(on) / count}
            return out | active | ({"f": f} if self.full else {})

        out = _by_row(of_row, at)
        return out | {name: jnp.sum(out[name], axis=0) for name in self.totals}


@dataclasses.dataclass(frozen=True)
class Raw(Reduction):
    """values: [B, P, S, W], the streams one after another."""

    whole = True

    def __call__(self, at: Place) -> Results:
        """Rows first."""
        return {"values": jnp.moveaxis(jnp.concatenate(at.streams, axis=-1), 1, 0)}


@dataclasses.dataclass(frozen=True)
class Total(Reduction):
    """values: [B, P, D] sums of a stream over a row's places."""

    whole = True

    def __call__(self, at: Place) -> Results:
        """One sum a row and layer."""
        found = jnp.sum(jnp.where(at.there[..., None], at.streams[0], 0), axis=2)
        return {"values": jnp.moveaxis(found, 1, 0)}


@dataclasses.dataclass(frozen=True)
class Moments(Reduction):
    """How a layer's dictionary stands for what it writes; the streams are what it reads and what it is to write.

    error, spread, relative, size, largest: [B] sums over a row's places of |y - y'|^2, |y - mean|^2, |y - y'| / |y| and
    |f|, and the largest |f|. fired: [F] how often each feature is not 0. data: the means [P, O].
    """

    totals: ClassVar[tuple[str, ...]] = ("fired",)

    def __call__(self, at: Place) -> Results:
        """Row by row."""
        mean = at.data[at.index]

        def of_row(x: Float[Array, "S D"], there: Bool[Array, " S"], y: Float[Array, "S O"]) -> Results:
            one = at.dictionary.at(at.layer)
            f = jnp.where(there[:, None], one.encode(x), 0)
            return reconstruction_sums(f, y, one.decode(f, x), mean, there)

        out = _by_row(of_row, at, at.streams[-1])
        return out | {"fired": jnp.sum(out["fired"], axis=0)}


@dataclasses.dataclass(frozen=True)
class CrossedMoments(Reduction):
    """`Moments` of all layers of a dictionary that crosses them: [B, P] each, and fired [P, F]."""

    totals: ClassVar[tuple[str, ...]] = ("fired",)
    whole = True

    def __call__(self, at: Place) -> Results:
        """Row by row, all layers of a row at once: each is made by the features of all below."""
        x, y = (jnp.moveaxis(stream, 1, 0) for stream in (at.streams[0], at.streams[-1]))

        def of_row(row: tuple[Float[Array, "P S D"], Float[Array, "P S O"], Bool[Array, " S"]]) -> Results:
            x, y, there = row
            f = jnp.where(there[:, None], at.dictionary.encode_all(x), 0)
            sums = jax.vmap(reconstruction_sums, in_axes=(0, 0, 0, 0, None))
            return sums(f, y, at.dictionary.decode(f, x), at.data, there)

        out = jax.lax.map(of_row, (x, y, at.there))
        return out | {"fired": jnp.sum(out["fired"], axis=0)}


@dataclasses.dataclass(frozen=True)
class AnswerLogProbabilities(Reduction):
    """values: [B, S] log P(label | the row up to this place); logits are formed at the places alone."""

    reads_model = True
    whole = True

    def __call__(self, at: Place) -> Results:
        """From the stream `final_norm`."""
        logits = at.transformer.logits(at.streams[0][0])
        chosen = jnp.take_along_axis(logits, at.labels[:, :, None], axis=2)[..., 0]
        return {"values": chosen - jax.nn.logsumexp(logits, axis=-1)}


@dataclasses.dataclass(frozen=True)
class TopLogits(Reduction):
    """ids, values: [B, S, k] the largest logits of the token after each place, largest first; formed there alone."""

    k: int
    reads_model = True
    whole = True

    def __call__(self, at: Place) -> Results:
        """From the stream `final_norm`, row by row: the logits of one row are in memory at a time."""
        values, ids = jax.lax.map(lambda x: largest(at.transformer.logits(x), self.k), at.streams[0][0])
        return {"ids": ids, "values": values.astype(jnp.float32)}


def reconstruction_sums(
    f: Float[Array, "S F"], y: Float[Array, "S O"], made: Float[Array, "S O"], mean: Float[Array, " O"],
    there: Bool[Array, " S"],
) -> Results:  # fmt: skip
    """The sums of `Moments`, from features (0 where nothing is read), what they stand for and what they make."""
    error = jnp.where(there, jnp.sum((y - made) ** 2, axis=-1), 0)
    spread = jnp.where(there, jnp.sum((y - mean.astype(y.dtype)) ** 2, axis=-1), 0)
    relative = jnp.sqrt(error / jnp.maximum(jnp.sum(y**2, axis=-1), 1e-30))
    size = jnp.abs(f)
    return {
        "error": error.sum(), "spread": spread.sum(), "relative": relative.sum(), "size": size.sum(),
        "largest": size.max(), "fired": jnp.sum(f != 0, axis=0),
    }  # fmt: skip


def _by_row(of_row: Callable[..., Any], at: Place, *more: Float[Array, "B S O"]) -> Any:
    """`of_row(x, there, *more)` of each row, one after another."""
    return jax.lax.map(lambda row: of_row(*row), (at.streams[0], at.there, *more))
