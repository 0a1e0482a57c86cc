"""What the last token says under many edits of many prompts: each row runs only where it differs from its clean pass.

What it says is the stream after the final norm, logits, or chosen features of the layers on the way (`FeatureReader`).

A row (a prompt under one list of edits) whose first slot is at layer l and position q is its clean pass below block l
and before q (`clean_passes`). It starts from the stored stream there and runs the T - q tokens from q on through the
blocks from l up; their keys and values take the place of the clean ones, and what they see before q is clean. So an
edit of the last token costs one token, whatever the length of the prompt.

    rows alike in l and in the number of tokens, S = 2^k >= T - q, run together, whatever prompts they are of

A row of which features of layers up to m alone are wanted stops there: above, what is read is nothing's.

Cost of a row: 2 (parameters of a block) S (L - l), or (m + 1 - l), and 2 D V where logits are asked for. Bits: a
function of the row and the kind of device alone, which decide the rows of a batch (`batch_rows`); batches go to their
devices in stacks (`stacks`), which change none.

Shapes: B rows of a batch, S tokens of each, W the bucket of the prompts, whose keys are all there.
"""

import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.devices import RowParallel, parallel_of
from causeway.engine.dictionary.config import place_among
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.gathered import to_host
from causeway.engine.intervention.apply import bind_all
from causeway.engine.intervention.edges import Edges
from causeway.engine.intervention.edits import EMPTY, Edit
from causeway.engine.intervention.held import Held
from causeway.engine.intervention.instruments import Carried, Instruments, Observer
from causeway.engine.intervention.rows import Batch, Rows
from causeway.engine.intervention.sites import side_by_side
from causeway.engine.model.attention import attend_sequence, blank, window_of
from causeway.engine.model.block import normed
from causeway.engine.model.finite import NotFiniteError, all_finite, traced
from causeway.engine.model.transformer import Transformer
from causeway.engine.model.upper import upper
from causeway.engine.outcome.clean_passes import BATCH_TOKENS, CleanPasses
from causeway.engine.outcome.feature_reader import FeatureReader
from causeway.engine.outcome.stacks import Stack, capacity, in_turn, run_stacks
from causeway.engine.precision import full_precision

_NEVER = np.iinfo(np.int32).max
# An accelerator reads weights for so many rows at least, as far as their tokens are no more than these.
ACCELERATOR_ROWS, ACCELERATOR_TOKENS = 16, 8192


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Background:
    """What all rows share."""

    transformer: Transformer
    dictionary: InMemory | None
    clean: CleanPasses
    reader: FeatureReader | None = None


class Own(NamedTuple):
    """A batch: slots [B, E], each row's prompt, where its tokens begin, the first block, the one after the last."""

    edits: tuple[Edit, ...]
    prompts: Int[Array, " B"]
    begins: Int[Array, " B"]
    first: Int[Array, ""]
    stop: Int[Array, ""]


class Found(NamedTuple):
    """Numbers of rows, and what their last tokens say: logits, the stream after the final norm, or what is read."""

    rows: Int[np.ndarray, " r"]
    last: Float[np.ndarray, "r W"]


def batch_rows(tokens: int, platform: str) -> int:
    """How many rows of so many tokens run together."""
    many = 0 if platform == "cpu" else min(ACCELERATOR_ROWS, ACCELERATOR_TOKENS // tokens)
    return max(1, BATCH_TOKENS // tokens, many)


def first_positions(edits: Sequence[Edit]) -> Int[np.ndarray, " R"]:
    """The first position that any slot of each row edits; `_NEVER` of a row without slots."""
    starts = [np.where(np.asarray(edit.layer) == EMPTY, _NEVER, edit.start).min(axis=1) for edit in edits]
    return np.min(starts, axis=0)


def clean_last(background: Background, logits: bool = False) -> Float[np.ndarray, "P W"]:
    """What the last token of each prompt says without an edit."""
    last = background.clean.last
    return to_host(_logits(background.transformer, last) if logits else last).astype(np.float64)


def clean_read(background: Background) -> Float[np.ndarray, "P W"]:
    """What the background's reader reads at the last token of each prompt without an edit."""
    assert background.reader is not None
    return to_host(_clean_read(background)).astype(np.float64)


@jax.jit
@full_precision
def _clean_read(background: Background) -> Float[Array, "P W"]:
    reader, clean = background.reader, background.clean
    assert reader is not None
    streams = clean.kept[reader.stream][jnp.asarray(reader.layers)]
    last = streams[:, jnp.arange(len(clean.lengths)), clean.lengths - 1]
    read = reader(last.reshape(*last.shape[:2], -1))
    return read.reshape(len(read), -1)


@jax.jit
@full_precision
def _logits(transformer: Transformer, last: Float[Array, "P D"]) -> Float[Array, "P V"]:
    return transformer.logits(last)


def last_tokens(
    background: Background, edits: tuple[Edit, ...], prompts: Int[np.ndarray, " R"], *, logits: bool = False,
    read: Int[np.ndarray, " R"] | None = None, parallel: RowParallel | None = None,
) -> Iterator[Found]:  # fmt: skip
    """Run rows, batch by batch; those without slots are their clean pass and are left out.

    Args:
        edits: slots [R, E], of the prompts of `background`. prompts: of each row, its number among them.
        logits: whether logits are wanted; the stream after the final norm costs less, and a reader's features are read
            in place of either. read: of each row the highest layer of which the reader's features are wanted (default:
            its own highest). parallel: devices to spread batches over (default: those of the weights).

    Raises:
        NotFiniteError: a row does not give numbers; its row is the row's number.
    """
    lengths, begins = to_host(background.clean.lengths)[prompts], first_positions(edits)
    width, layers = background.clean.keys.shape[2], background.transformer.config.num_layers
    tokens = np.minimum(1 << np.ceil(np.log2(np.maximum(lengths - begins, 1))).astype(int), width)
    parallel = parallel or parallel_of(background.transformer)
    placed, reader = parallel.replicate(background), background.reader
    highest = layers - 1 if reader is None else max(reader.layers)
    tops = np.full(len(prompts), highest) if read is None else np.minimum(read, highest)
    kinds = _kinds(edits, tokens, begins, background.dictionary)
    for kind in sorted(set(kinds) - {None}, key=str):
        chosen = np.array([row for row, other in enumerate(kinds) if other == kind])
        count = int(tokens[chosen[0]])
        rows = Rows.of(tuple(jax.tree.map(lambda a, at=chosen: np.asarray(a)[at], e) for e in edits), len(chosen))
        batches = rows.batches(most := batch_rows(count, parallel.devices[0].platform), layers)
        parts = ((batch, _own(batch, chosen[batch.rows], prompts, lengths, count, tops)) for batch in batches)
        program = partial(parallel.program(edited_lasts, tokens=count, logits=logits), placed)
        size = capacity(most * _numbers(background, logits))
        for batch, own, last in run_stacks(program, parts, lambda batch: batch.shape, size, parallel):
            numbers = chosen[batch.rows]
            _check(placed, own, count, logits, numbers, last)
            yield Found(numbers, last[: len(numbers)])


def _numbers(background: Background, logits: bool) -> int:
    """How many numbers a row gives."""
    reader, config = background.reader, background.transformer.config
    return reader.numbers if reader is not None else config.vocab_size if logits else config.d_model


def _kinds(
    edits: tuple[Edit, ...], tokens: Int[np.ndarray, " R"], begins: Int[np.ndarray, " R"], dictionary: InMemory | None
) -> list[Hashable]:
    """What rows that run together have in common: the number of tokens, and layers that need a whole dictionary."""
    alone = [np.asarray(edit.layer).max(axis=1) for edit in edits if edit.spec.one_layer(dictionary)]
    layers = np.stack(alone, axis=1) if alone else np.zeros((len(tokens), 0), int)
    rows = zip(tokens.tolist(), layers.tolist(), begins.tolist(), strict=True)
    return [None if begin == _NEVER else (count, *own) for count, own, begin in rows]


def _own(
    batch: Batch, numbers: np.ndarray, prompts: np.ndarray, lengths: np.ndarray, tokens: int, tops: np.ndarray
) -> Own:
    """One batch, its padding repeated from the first row's prompt without slots."""
    rows = np.concatenate([numbers, np.full(len(batch.numbers) - len(numbers), numbers[0])])
    begins = np.maximum(lengths[rows] - tokens, 0).astype(np.int32)
    # Of the host, like the edits: a stripe goes to its devices in one step.
    own: Any = prompts[rows].astype(np.int32), begins, np.int32(batch.first), np.int32(tops[numbers].max() + 1)
    return Own(batch.edits, *own)


def _check(
    background: Background, own: Own, tokens: int, logits: bool, numbers: np.ndarray, last: Float[np.ndarray, "B W"]
) -> None:
    """Refuse a batch of which a row does not give numbers."""
    if not all_finite(last[: len(numbers)]):
        broken = ~np.isfinite(last).all(axis=1)
        broken[len(numbers) :] = False
        error = traced(partial(full_precision(edited_last), background, own, tokens, logits), broken)
        raise NotFiniteError(str(error), int(numbers[error.row]))


def edited_lasts(background: Background, stack: Stack, tokens: int, logits: bool) -> Float[Array, "K B W"]:
    """The last tokens of the rows of several batches, see `edited_last`; a program for `RowParallel.program`."""
    dtype = jnp.promote_types(background.clean.streams.dtype, background.transformer.numerics.accumulate_dtype)
    shape = stack.own.prompts.shape[1], _numbers(background, logits)
    return in_turn(partial(edited_last, background, tokens=tokens, logits=logits), stack, shape, dtype)


def edited_last(background: Background, own: Own, tokens: int, logits: bool) -> Float[Array, "B W"]:
    """The last token of each row: its logits, or its stream after the final norm.

    Args:
        tokens: S, of each row, the last ones of its prompt; where the prompt has fewer, the rest is padding.
    """
    transformer, clean = background.transformer, background.clean
    positions = own.begins[:, None] + jnp.arange(tokens)
    real = positions < clean.lengths[own.prompts][:, None]
    edited = Instruments(bind_all(own.edits, background.dictionary))
    instruments = dataclasses.replace(edited, held=_held(clean, own.prompts, positions))
    x = clean.streams[own.first, own.prompts[:, None], positions]
    x = Observer(edited, own.first, positions, real)("embed", x)
    end = (clean.lengths[own.prompts] - 1 - own.begins)[:, None]
    reader = background.reader

    def meet(index, carried):
        return _Suffix(background, own, instruments, index, positions, real, end, carried)

    read = None if reader is None else reader.nothing(len(x), x.dtype)
    x, (_, read) = upper(transformer, x, own.first, positions, meet, (instruments.carried(x), read), own.stop)
    if reader is not None:
        return reader(read).reshape(len(x), -1)
    top = Observer(instruments, transformer.config.num_layers, positions, real)
    normalised = top("final_norm", normed(transformer.final_norm, "final_scale", x, top))
    last = jnp.take_along_axis(normalised, end[..., None], axis=1)
    if logits:
        at_end = Observer(edited, transformer.config.num_layers, jnp.take_along_axis(positions, end, axis=1))
        last = at_end("logits", transformer.logits(last))
    return last[:, 0]


def _held(clean: CleanPasses, prompts: Int[Array, " B"], positions: Int[Array, "B S"]) -> Held | None:
    """What rows hold of their own clean passes, at their own tokens."""
    if clean.held is None:
        return None

    def own(name: str, values: Array) -> Array:
        mine = values[:, prompts]
        if name == "attn_pattern":
            return jnp.take_along_axis(mine, positions[None, :, None, :, None], axis=3)
        return jnp.take_along_axis(mine, positions.reshape(1, *positions.shape, *[1] * (mine.ndim - 3)), axis=2)

    return dataclasses.replace(clean.held, streams={name: own(name, a) for name, a in clean.held.streams.items()})


class _Suffix(Observer):
    """One layer of a batch: the rows' own tokens, which also see the clean ones before them."""

    def __init__(
        self, background: Background, own: Own, instruments: Instruments, index: Array, positions: Array, real: Array,
        end: Int[Array, "B 1"], carried: tuple[Carried, Float[Array, "P B D"] | None],
    ):  # fmt: skip
        super().__init__(instruments, index, positions, real, carried[0])
        self.background, self.own, self.tokens, self.end, self.read = background, own, real, end, carried[1]

    @property
    def carry(self) -> tuple[Carried, Float[Array, "P B D"] | None]:
        """What edits take to the layers above, and the last tokens' streams that a reader has met."""
        return self.carried, self.read

    def __call__(self, stream: str, x: Array, edges: Edges | None = None) -> Array:
        """The stream after its edits, kept at the last token where a reader reads it."""
        x, reader = super().__call__(stream, x, edges), self.background.reader
        if reader is not None and self.read is not None and stream == reader.stream:
            place = place_among(reader.layers, jnp.asarray(self.layer))
            last = jnp.take_along_axis(side_by_side(x), self.end[..., None], axis=1)[:, 0]
            self.read = self.read.at[jnp.where(place < 0, len(reader.layers), place)].set(last, mode="drop")
        return x

    def attend(self, q: Array, k: Array, v: Array) -> Float[Array, "B S H K"]:
        """Heads' outputs; keys stand at their own positions, [B, W]."""
        transformer, clean, prompts = self.background.transformer, self.background.clean, self.own.prompts
        keys = _with_own(clean.keys[self.layer, prompts], k, self.own.begins)
        values = _with_own(clean.values[self.layer, prompts], blank(v, self.tokens), self.own.begins)
        at, window = jnp.arange(keys.shape[1]), window_of(transformer.config, self.layer)
        visible = at <= self.positions[..., None]
        visible = visible if window is None else visible & (at > self.positions[..., None] - window)
        edges = Edges(at[None], visible[:, None])
        return attend_sequence(
            q, keys, values, visible[:, None, None], transformer.config, transformer.numerics,
            lambda stream, pattern: self(stream, pattern, edges),
        )  # fmt: skip


def _with_own(
    clean: Float[Array, "B W G K"], own: Float[Array, "B S G K"], begins: Int[Array, " B"]
) -> Float[Array, "B W G K"]:
    """Keys or values of all tokens: a row's own S from where they begin, the clean ones elsewhere."""
    at = jnp.arange(clean.shape[1]) - begins[:, None]
    inside = ((at >= 0) & (at < own.shape[1]))[..., None, None]
    placed = own if own.shape[1] == 1 else jnp.take_along_axis(own, at.clip(0, own.shape[1] - 1)[..., None, None], 1)
    return jnp.where(inside, placed, clean)
