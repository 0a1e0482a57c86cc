"""What is read of the cotangents where one layer's features write.

With G[r, t] the cotangent of target r there, and w_i the decoder row of feature i,

    gradient[r, t, i] = <G[r, t], w_i>          effect[r, t, i] = gradient[r, t, i] * change[t, i]

where the change is the activation f[t, i] (what the source does as it is), so that active features alone matter, or
v_i - f[t, i] for a planned value v_i (what setting it would do), for every feature that has one. `each` keeps the
strongest (feature, position), `sum` the strongest features, summed over positions: those of the largest effect, or
(`by` gradient) of the largest gradient among those that have an effect. Summed, the gradient is that of one cotangent,
<sum_t G[r, t], w_i>, and a planned change needs no product a position:

    sum_t effect[r, t, i] = v_i <sum_t G[r, t], w_i> - sum_t f[t, i] <G[r, t], w_i>

Shapes: R rows, T tokens, M active slots of a position, U features with a planned value, S given sources, F features,
O the stream written.
Cost a layer: 2 R T U O operations for `each` of a planned change, 2 R T M O for active features, 2 R U O more for
sums (2 R F O for active features by their gradient). Memory: `STEP_ENTRIES` and R U numbers, or `SLOT_ENTRIES` and
R T M.
"""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.analyses.pathways.strongest import largest, leading, strongest
from causeway.engine.arrays import AnyArray

Reduce = Literal["each", "sum"]
By = Literal["effect", "gradient"]
BYS: tuple[By, ...] = ("effect", "gradient")
REDUCTIONS: tuple[Reduce, ...] = ("each", "sum")
# Gradients of all features that exist at once, and positions of them, at most.
STEP_ENTRIES, MOST_POSITIONS = 1 << 23, 32
# Numbers of decoder rows of active features that exist at once.
SLOT_ENTRIES = 1 << 25
# Stands for all positions of a source's scope.
ALL_POSITIONS = -1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Active:
    """Active features of one layer of a prompt.

    Attributes:
        ids, values: [T, M], feature and activation, 0 where a slot is empty.
        order: [T M], slots by feature, then by position.
        counts: positions that have sources, [T].
    """

    ids: Int[Array, "T M"]
    values: Float[Array, "T M"]
    order: Int[Array, " TM"]
    counts: Bool[Array, " T"]

    def dense(self, features: int) -> Float[Array, "T F"]:
        """Activations of all features."""
        at = jnp.arange(len(self.ids))[:, None]
        return jnp.zeros((len(self.ids), features), self.values.dtype).at[at, self.ids].add(self.values)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Planned:
    """Features of one layer that have a planned value, or all of them (U = F) where some layer has values of all.

    Attributes:
        ids: [U], rising. values: [U], the feature's value after the change. real: [U], False of what fills up.
    """

    ids: Int[AnyArray, " U"]
    values: Float[AnyArray, " U"]
    real: Bool[AnyArray, " U"]

    def rows(self, decoder: Float[Array, "F O"]) -> Float[Array, "U O"]:
        """What a unit of each writes."""
        return decoder if len(self.ids) == len(decoder) else decoder[self.ids]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Given:
    """Sources asked for by name, of each row or the same for all.

    Attributes:
        ids: [#R, S], features. positions: [#R, S], or `ALL_POSITIONS`.
        scale, shift: [#R, S]: the change is scale * f + shift.
    """

    ids: Int[AnyArray, "#R S"]
    positions: Int[AnyArray, "#R S"]
    scale: Float[AnyArray, "#R S"]
    shift: Float[AnyArray, "#R S"]

    def of(self, dtype: np.dtype) -> "Given":
        """With numbers of a dtype."""
        return dataclasses.replace(self, scale=self.scale.astype(dtype), shift=self.shift.astype(dtype))


class Found(NamedTuple):
    """Sources of each row: feature, position (`ALL_POSITIONS` of sums), activation there (of sums the mean over the
    positions), gradient and effect, [R, k] each."""

    feature: Int[Array, "R k"]
    position: Int[Array, "R k"]
    activation: Float[Array, "R k"]
    gradient: Float[Array, "R k"]
    effect: Float[Array, "R k"]


def _size(by: By, gradient: Float[AnyArray, "*shape"], effect: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """What sources are ranked by."""
    return jnp.abs(effect) if by == "effect" else jnp.where(effect != 0, jnp.abs(gradient), 0)


def each_active(
    g: Float[Array, "R T O"], decoder: Float[Array, "F O"], active: Active, top: int, by: By = "effect"
) -> Found:  # fmt: skip
    """The strongest (feature, position) among active ones."""
    gradient = _slots(g, decoder, active)
    effect = gradient * jnp.where(active.counts[:, None], active.values, 0)[..., None]
    gradient, effect = (flat.reshape(-1, len(g))[active.order].T for flat in (gradient, effect))
    found = largest(_size(by, gradient, effect), top)
    slots = active.order[found]
    gradient, effect = (jnp.take_along_axis(flat, found, axis=1) for flat in (gradient, effect))
    position = slots // active.ids.shape[1]
    return Found(active.ids.reshape(-1)[slots], position, active.values.reshape(-1)[slots], gradient, effect)


def each_planned(
    g: Float[Array, "R T O"], decoder: Float[Array, "F O"], active: Active, planned: Planned, top: int,
    by: By = "effect",
) -> Found:  # fmt: skip
    """The strongest (feature, position) among those with a planned value.

    A feature's positions are a block (`strongest`). Gradients of all features are formed for some positions at a time,
    for their maxima alone; those of the leading features are formed again.
    """
    activation = active.dense(len(decoder))[:, planned.ids]
    change = jnp.where(active.counts[:, None] & planned.real, planned.values - activation, 0)
    weight = change if by == "effect" else (change != 0).astype(change.dtype)
    chosen = leading(_maxima(g, planned.rows(decoder), weight), top)
    feature, rows = planned.ids[chosen], jnp.arange(len(g))[:, None]
    gradient = jnp.einsum("rto,rko->rkt", g, decoder[feature])
    block, position = strongest(gradient * weight.T[chosen], top)
    gradient, own = gradient[rows, block, position], chosen[rows, block]
    effect = gradient * change[position, own]
    return Found(planned.ids[own], position, activation[position, own], gradient, effect)


def _maxima(g: Float[Array, "R T O"], rows: Float[Array, "U O"], change: Float[Array, "T U"]) -> Float[Array, "R U"]:
    """The largest magnitude over positions of each effect."""
    count, tokens = len(g), g.shape[1]
    step = _step(tokens, count * len(rows))
    parts = jnp.moveaxis(g, 1, 0).reshape(tokens // step, step * count, -1), change.reshape(-1, step, len(rows))

    def more(maxima: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
        some, changes = part
        gradient = (some @ rows.T).reshape(step, count, -1)
        for position in range(step):  # one pass over what is in the cache: a reduction is not fused with its operand
            maxima = jnp.maximum(maxima, jnp.abs(gradient[position] * changes[position]))
        return maxima, None

    return jax.lax.scan(more, jnp.zeros((count, len(rows)), g.dtype), parts)[0]


def _step(tokens: int, entries: int) -> int:
    """Positions whose gradients exist at once: a power of two that divides them all."""
    step = 1
    while 2 * step <= MOST_POSITIONS and tokens % (2 * step) == 0 and 2 * step * entries <= STEP_ENTRIES:
        step *= 2
    return step


def sum_active(
    g: Float[Array, "R T O"], decoder: Float[Array, "F O"], active: Active, top: int, by: By = "effect"
) -> Found:  # fmt: skip
    """The strongest active features, effects summed over positions."""
    effect, summed = _summed_activity(g, decoder, active), _summed(g, active)
    feature = largest(_size(by, summed @ decoder.T if by == "gradient" else effect, effect), top)
    gradient = jnp.einsum("ro,rko->rk", summed, decoder[feature])
    return _sums(active, len(decoder), feature, gradient, jnp.take_along_axis(effect, feature, axis=1))


def sum_planned(
    g: Float[Array, "R T O"], decoder: Float[Array, "F O"], active: Active, planned: Planned, top: int,
    by: By = "effect",
) -> Found:  # fmt: skip
    """The strongest features with a planned value, effects summed over positions."""
    gradient = _summed(g, active) @ planned.rows(decoder).T
    effect = planned.values * gradient - _summed_activity(g, decoder, active)[:, planned.ids]
    found = largest(jnp.where(planned.real, _size(by, gradient, effect), 0), top)
    gradient, effect = (jnp.take_along_axis(a, found, axis=1) for a in (gradient, effect))
    return _sums(active, len(decoder), planned.ids[found], gradient, jnp.where(planned.real[found], effect, 0))


def given(g: Float[Array, "R T O"], decoder: Float[Array, "F O"], active: Active, sources: Given) -> Found:
    """The sources asked for."""
    shape = (len(g), sources.ids.shape[1])
    ids, positions = jnp.broadcast_to(sources.ids, shape), jnp.broadcast_to(sources.positions, shape)
    rows = decoder[sources.ids]
    gradient = jnp.einsum("rto,so->trs", g, rows[0]) if len(rows) == 1 else jnp.einsum("rto,rso->trs", g, rows)
    at = jnp.arange(g.shape[1])[:, None, None]
    here = active.counts[:, None, None] & ((positions == at) | (positions == ALL_POSITIONS))
    activation = active.dense(len(decoder))[:, ids]
    gradient = jnp.where(here, gradient, 0)
    effect = (gradient * (sources.scale * activation + sources.shift)).sum(axis=0)
    mean = jnp.where(here, activation, 0).sum(axis=0) / jnp.maximum(here.sum(axis=0), 1)
    return Found(ids, positions, mean, gradient.sum(axis=0), effect)


def _slots(g: Float[Array, "R T O"], decoder: Float[Array, "F O"], active: Active) -> Float[Array, "T M R"]:
    """<G[r, t], w_i> of each active slot, decoder rows of some positions at a time."""
    step = max(1, SLOT_ENTRIES // (active.ids.shape[1] * decoder.shape[1]))

    def one(position: tuple[Array, Array]) -> Float[Array, "M R"]:
        here, ids = position
        return decoder[ids] @ here.T

    return jax.lax.map(one, (jnp.moveaxis(g, 1, 0), active.ids), batch_size=min(step, g.shape[1]))


def _summed(g: Array, active: Active) -> Float[Array, "R O"]:
    return jnp.einsum("rto,t->ro", g, active.counts.astype(g.dtype))


def _summed_activity(g: Array, decoder: Array, active: Active) -> Float[Array, "R F"]:
    """sum_t f[t, i] <G[r, t], w_i> of every feature."""
    effect = _slots(g, decoder, active) * jnp.where(active.counts[:, None], active.values, 0)[..., None]
    return jnp.zeros((len(decoder), len(g)), g.dtype).at[active.ids.reshape(-1)].add(effect.reshape(-1, len(g))).T


def _sums(active: Active, features: int, feature: Array, gradient: Array, effect: Array) -> Found:
    there = active.counts.astype(active.values.dtype)
    mean = there @ active.dense(features) / jnp.maximum(there.sum(), 1)
    return Found(feature, jnp.full_like(feature, ALL_POSITIONS), mean[feature], gradient, effect)
