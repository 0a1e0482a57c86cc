"""One token a row, and a segment of tokens.

`decode_token` runs B rows one token further: row-specific edits and taps, a prefix shared by all rows, the rows' own
segments, and the token itself. Layers are written out, and each has its own arrays (`unrolled`): no weight is cut out
of a stack at a step, nor in a call.

`decode_segment` is the compiled program of a sweep: S steps of it, with sampling. Its key is (rows, prefix width,
lengths of earlier segments, S, instruments, sampling); nothing in it depends on which feature, layer or prompt a row
is about.

Recomputed semantics. With a cache, an edit made at an earlier token goes on acting through that token's keys and
values. Without one (the original study) only the token being processed is edited and earlier ones revert. That second
experiment needs no O(T^2) loop: each edited row is paired with a clean row fed the same tokens; the clean row writes
the cache and the edited row reads it. The pair shares keys, so the edited row is one more query per head.

Shapes: B rows, S steps, A streams a row (1, or 2 when recomputed: clean, edited).
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key, UInt32

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.apply import bind_all
from causeway.engine.intervention.changes import EditReport
from causeway.engine.intervention.edits import Edit
from causeway.engine.intervention.held import Held
from causeway.engine.intervention.instruments import Instruments, Observer
from causeway.engine.intervention.taps import BoundTap, Reading
from causeway.engine.model.attention import RowKeys, SharedKeys, attend_pieces, window_of, within
from causeway.engine.model.block import apply_block, normed
from causeway.engine.model.cache import Prefix, Segment, empty_segment
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.grouped import by_group, by_row, edges_of, own
from causeway.engine.model.sampling import Sampling, choose
from causeway.engine.model.transformer import Transformer, layer

Readings = dict[int, Reading]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """What a row carries from token to token: [B] each.

    token: the next input. live: False once a stop token was chosen, and for rows that only fill the bucket.
    key_data: the row's random key, as raw words [B, 2]. first: the step of the row's first draw; those before are
    tokens of its prompt.
    """

    token: Int[AnyArray, " B"]
    live: Bool[AnyArray, " B"]
    key_data: UInt32[AnyArray, "B 2"]
    first: Int[AnyArray, " B"]

    @property
    def keys(self) -> Key[Array, " B"]:
        """The random keys."""
        return jax.random.wrap_key_data(jnp.asarray(self.key_data), impl="threefry2x32")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Steps:
    """What S steps produced.

    tokens: [S, B] chosen ids, -1 where the row was over. live: [S, B] whether the step's input was a token of the
    row. finite: [S, B] whether its last stream and its logits are numbers; of rows that are over it says nothing.
    readings: for each tap and tapped layer, values [S, B, W] and, for top_k, ids. edits: one report [S, B, E] an
    edit.
    """

    tokens: Int[AnyArray, "S B"]
    live: Bool[AnyArray, "S B"]
    finite: Bool[AnyArray, "S B"]
    readings: tuple[tuple[tuple[AnyArray, AnyArray | None], ...], ...]
    edits: tuple[EditReport, ...]


def decode_token(
    transformer: Transformer,
    token: Int[Array, " B"],
    position: Int[Array, ""],
    prefix: Prefix,
    past: tuple[Segment, ...],
    current: Segment,
    step: Int[Array, ""],
    instruments: Instruments,
    recomputed: bool,
    live: Bool[Array, " B"] | None = None,
) -> tuple[Array, Segment, list[Observer]]:
    """Run one token a row at `position`; step `step` of `current` is written. `live` tells which rows count.

    Returns:
        The final stream [B, D] after the last norm, the segment, and one observer a layer.
    """
    config, numerics = transformer.config, transformer.numerics
    if instruments.held is not None:
        instruments = dataclasses.replace(instruments, held=instruments.held.at_token(position))
    streams = 2 if recomputed else 1
    x = transformer.embed(token, position[None])
    x = jnp.broadcast_to(x[:, None], (token.shape[0], streams, config.d_model))
    at = position[None, None]
    # The clean stream of a pair stands at position -1 for the instruments, where no edit acts.
    seen_at = jnp.concatenate([jnp.full((1, streams - 1), -1, at.dtype), at], axis=1)
    real = None if live is None else live[:, None]
    observers, carried = [], instruments.carried(x)
    for index in range(config.num_layers):
        observers.append(Observer(instruments, index, seen_at, real, carried))
        x = observers[-1]("embed", x) if index == 0 else x

        def attend(q, k, v, index=index):
            nonlocal current
            # Written first, and `step` masked: a segment that is read before it is written XLA copies, twice.
            current = current.write(index, step, jnp.moveaxis(k[:, 0], 1, 0), jnp.moveaxis(v[:, 0], 1, 0))
            pieces, keys = _pieces(config, index, position, step, prefix, past, current)
            change = edges_of(observers[-1], pieces, keys, config)
            grouped = by_group(q, config.num_kv_heads)
            z = attend_pieces(grouped, (own(k, q), own(v, q)), pieces, config, numerics, change)
            return by_row(z, q.shape)

        x = apply_block(layer(transformer.blocks, index), index, x, at, config, attend, observers[-1])
        x, observers[-1].readings = _settled((x, observers[-1].readings))
        carried = observers[-1].carried
    observers.append(Observer(instruments, config.num_layers, seen_at, real))
    last = observers[-1]
    return last("final_norm", normed(transformer.final_norm, "final_scale", x, last))[:, -1], current, observers


def _settled(written: tuple[Array, Readings]) -> tuple[Array, Readings]:
    """What a layer leaves, formed before the next begins; on a CPU nothing is done.

    Else XLA for GPUs applies an edit once for each reader of the stream, and copies the stream for taps it puts off.
    """
    return jax.lax.platform_dependent(written, cpu=lambda same: same, default=jax.lax.optimization_barrier)


def _pieces(
    config: ModelConfig, index: int, position: Array, step: Array, prefix: Prefix, past: tuple[Segment, ...],
    current: Segment,
) -> tuple[tuple[SharedKeys | RowKeys, ...], tuple[Int[Array, " S"], ...]]:  # fmt: skip
    """What a token at `position` attends to beside itself, and where its keys stand; segments follow without a gap."""
    window = window_of(config, index)
    placed: list[tuple[SharedKeys | RowKeys, Array]] = [(current.layer(index, step), position - step)]
    for segment in reversed(past):
        placed.append((segment.layer(index, segment.length), placed[-1][1] - segment.length))
    placed.append((prefix.layer(index), jnp.int32(0)))
    placed.reverse()
    keys = tuple(first + jnp.arange(piece.mask.shape[-1]) for piece, first in placed)
    return tuple(within(piece, position, at, window) for (piece, _), at in zip(placed, keys, strict=True)), keys


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shared:
    """What all rows of a call share: weights, the prompt's prefix, the taps, and where the tokens stand.

    start: absolute position of the first token run. drawn: tokens drawn before, counted by the random keys. held: what
    stays as in the prompt's clean pass.
    """

    transformer: Transformer
    dictionary: InMemory | None
    prefix: Prefix
    taps: tuple[BoundTap, ...]
    start: Int[Array, ""]
    drawn: Int[Array, ""]
    held: Held | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Own:
    """What each row brings: state, edits, earlier segments, and forced tokens ([S, B], -1 to draw)."""

    rows: Rows
    edits: tuple[Edit, ...]
    past: tuple[Segment, ...]
    forced: Int[AnyArray, "S B"]


def decode_segment(
    shared: Shared, own: Own, *, length: int, sampling: Sampling, recomputed: bool
) -> tuple[Rows, Segment, Steps]:
    """`length` tokens a row, chosen or forced; a forced token never ends its row."""
    transformer = shared.transformer
    instruments = Instruments(bind_all(own.edits, shared.dictionary), shared.taps, held=shared.held)

    def body(carry, step):
        rows, segment = carry
        stream, segment, observers = decode_token(
            transformer, rows.token, shared.start + step, shared.prefix, own.past, segment, step, instruments,
            recomputed, rows.live,
        )  # fmt: skip
        logits = observers[-1]("logits", transformer.logits(stream[:, None]))[:, 0]
        forced = own.forced[step]
        chosen = jnp.where(forced >= 0, forced, choose(logits, rows.keys, shared.drawn + step - rows.first, sampling))
        stopped = jnp.isin(chosen, jnp.array(sampling.stop_tokens, jnp.int32)) & (forced < 0)
        # The largest logit is looked for anyway, and is NaN where any is.
        finite = jnp.all(jnp.isfinite(stream), axis=-1) & jnp.isfinite(jnp.max(logits, axis=-1))
        out = Steps(jnp.where(rows.live, chosen, -1), rows.live, finite, *_collect(instruments, observers))
        return (Rows(chosen, rows.live & ~stopped, rows.key_data, rows.first), segment), out

    carry = (own.rows, empty_segment(transformer, own.rows.token.shape[0], length))
    (rows, segment), steps = jax.lax.scan(body, carry, jnp.arange(length))
    return rows, segment, steps


def _collect(instruments: Instruments, observers: list[Observer]):
    """Readings of each tapped layer [B, W] (not stacked: that would copy them), and edit reports over layers [B, E]."""
    readings = [
        tuple(jax.tree.map(lambda a: a[:, -1], observers[index].readings[i]) for index in tap.spec.layers)
        for i, tap in enumerate(instruments.taps)
    ]
    reports = []
    for i in range(len(instruments.edits)):
        found = [o.reports[i] for o in observers if i in o.reports]
        total = sum(found[1:], found[0])
        reports.append(jax.tree.map(lambda a: a[:, -1], total))
    return tuple(readings), tuple(reports)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fed:
    """Prompt tokens [S] shared by all rows, the last ones from step `first` on; step s stands at start + s."""

    transformer: Transformer
    dictionary: InMemory | None
    prefix: Prefix
    tokens: Int[Array, " S"]
    first: Int[Array, ""]
    start: Int[Array, ""]
    held: Held | None = None


def feed_segment(shared: Fed, own: Own) -> Segment:
    """The cache of prompt tokens from the first edited one on, which differs from row to row.

    Steps before `first` are padding and cost nothing.
    """
    transformer, rows = shared.transformer, own.rows.token.shape[0]
    instruments = Instruments(bind_all(own.edits, shared.dictionary), held=shared.held)

    def body(step, segment):
        token = jnp.broadcast_to(shared.tokens[step], (rows,))
        return decode_token(
            transformer, token, shared.start + step, shared.prefix, (), segment, step, instruments, False
        )[1]

    length = len(shared.tokens)
    return jax.lax.fori_loop(shared.first, length, body, empty_segment(transformer, rows, length, shared.first))
