"""`cw.run`: many prompts through the model once, with edits and recordings.

Rows (a prompt under one list of edits) of one width and the same kinds of edits run together, `batch_rows` of them at a
time whatever their number: a batch that is not full is filled by repeating a row. So the bits of a result are a
function of the prompt, its edits and the taps, and not of what else is in the call.

Cost: one causal pass of each batch; the default batch has up to 128 tokens, at which products on a CPU reach nine
tenths of the rate that they have in large batches, while one prompt alone does not pay for more.
"""

import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from causeway.engine import scalars
from causeway.engine.arrays import AnyArray
from causeway.engine.calls.asked import Arms, Asked, Edits, asked, edit_arrays_of
from causeway.engine.calls.by_name import Tapped
from causeway.engine.calls.run_result import RunResult
from causeway.engine.devices import RowParallel, parallel_of
from causeway.engine.dictionary.placement import Holder, InMemory
from causeway.engine.frozen.record import held_of
from causeway.engine.gathered import to_host
from causeway.engine.intervention.apply import bind_all
from causeway.engine.intervention.edits import Edit
from causeway.engine.intervention.held import Held
from causeway.engine.intervention.hold import AnyHolds
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.tap_requests import Tap
from causeway.engine.intervention.taps import BoundTap, Record
from causeway.engine.intervention.void import check_void
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.finite import NotFiniteError, refuse
from causeway.engine.model.forward import LogitsOf, Pass, judged_pass
from causeway.engine.model.handle import Model, Prompt, check_model
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision

BATCH_TOKENS = 128
# Logits of all tokens are made up to this many bytes: a model of 128,256 tokens gives half a megabyte a token.
MOST_LOGITS = 2**32


@dataclasses.dataclass(frozen=True)
class _Row:
    """One prompt under one list of edits: its number in the call, its tokens, and the edits as arrays of one row.

    `alone` are the layers of edits that need a whole dictionary, which rows of one layer share.
    """

    number: int
    tokens: list[int]
    edits: tuple[Edit, ...]
    alone: tuple[int, ...]

    @property
    def kind(self) -> Hashable:
        """What rows that run together have in common: the bucket, and the kinds and numbers of slots."""
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(self.edits))
        return bucket_width(len(self.tokens)), jax.tree.structure(self.edits), shapes, self.alone


class _Own(NamedTuple):
    """A batch: its slots [B, E], its prompts, and what they hold of their clean passes."""

    edits: tuple[Edit, ...]
    tokens: Int[AnyArray, "B T"]
    lengths: Int[AnyArray, " B"]
    held: Held | None


@dataclasses.dataclass(frozen=True)
class _Found:
    """What came of a row."""

    logits: np.ndarray
    records: tuple[Record, ...]
    applied: int


def run(
    model: Model,
    prompts: Prompt | Sequence[Prompt],
    *,
    dictionary: Holder | None = None,
    edits: Edits = (),
    arms: Arms | None = None,
    holds: AnyHolds = "open",
    taps: Tap | str | Sequence[Tap | str] = (),
    mode: str = "delta",
    logits: LogitsOf = "all",
    batch_rows: int | None = None,
    parallel: RowParallel | None = None,
) -> RunResult:
    """Run prompts through the model once, with edits and recordings.

    Args:
        model: a loaded model.
        prompts: a text or token ids (a list, or an array of numpy, jax or torch), or several of them.
        dictionary: what feature edits and taps read with; of a streamed one those layers are held in memory.
        edits: one list for all prompts, or one list a prompt.
        arms: lists of edits to compare; every prompt is run with each.
        holds: what stays as in the clean pass of each prompt: open, freeze_attention, constrained, or a list of `Hold`.
        taps: recordings, or names of streams to record.
        mode: delta, or replace (the stream becomes the dictionary's reconstruction).
        logits: of which tokens: all, last (of each prompt), or None. What is not asked for is not computed.
        batch_rows: prompts of a batch; None takes as many as have 128 tokens together. Results are the same bits for
            equal numbers.
        parallel: devices to spread batches over (default: those of the weights).

    Raises:
        ValueError: an empty or too long prompt, an edit or tap that cannot mean what it says, or more logits than
            `MOST_LOGITS` bytes.
        NotFiniteError: streams, logits or what was read are not numbers; it names prompt, layer and site.
    """
    check_model(model)
    if logits not in ("all", "last", None):
        raise ValueError(f"logits: got {scalars.shown(logits)}; needs 'all', 'last' or None")
    width = None if batch_rows is None else scalars.integer(batch_rows, "batch_rows", 1)
    call = asked(model, prompts, dictionary, edits, arms, holds, taps)
    count = len(call.rows[0])
    check_logits(model, [len(ids) for ids in call.tokens for _ in range(count)], logits)
    found: dict[int, _Found] = {}
    runs = _Runs(model, call, logits, parallel or parallel_of(model.transformer, call.dictionary))
    for stripe in runs.parallel.stripes(_batches(_rows(model, call, mode), width), lambda batch: batch[0].kind):
        try:
            found |= runs.found(stripe)
        except NotFiniteError as error:
            raise error.of(f"prompt {error.row // count}") from None
    in_order = [found[number] for number in range(len(found))]
    return _result(call.tokens, in_order, count if arms is not None else 0, logits, call.tapped)


def check_logits(model: Model, lengths: Sequence[int], logits: LogitsOf) -> None:
    """Refuse logits of all tokens that no memory should be filled with.

    Raises:
        ValueError: they take more than `MOST_LOGITS` bytes.
    """
    size = sum(lengths) * model.config.vocab_size * np.dtype(model.numerics.accumulate).itemsize
    if logits == "all" and size > MOST_LOGITS:
        raise ValueError(
            f"logits: 'all' of {sum(lengths):,} tokens are {size / 1e9:.1f} GB ({model.config.vocab_size:,} logits a "
            f"token; the limit is {MOST_LOGITS / 1e9:.1f} GB); ask for logits='last' or None, or give fewer prompts"
        )


def _rows(model: Model, call: Asked, mode: str) -> list[_Row]:
    """All rows in order, checked; each has the slots that it needs by itself."""
    made: list[_Row] = []
    for ids, own in zip(call.tokens, call.rows, strict=True):
        for edits in own:
            arrays = edit_arrays_of([edits], len(ids), model, call.dictionary, mode)
            check_void(arrays, call.held, call.dictionary, call.taps)
            alone = tuple(int(np.max(edit.layer)) for edit in arrays if edit.spec.one_layer(call.dictionary))
            made.append(_Row(len(made), ids, arrays, alone))
    return made


def _batches(rows: Sequence[_Row], size: int | None) -> Iterator[list[_Row]]:
    """Rows that run together; equal ones at the end only fill a batch."""
    groups: dict[Hashable, list[_Row]] = {}
    for row in rows:
        groups.setdefault(row.kind, []).append(row)
    for group in groups.values():
        bucket = bucket_width(len(group[0].tokens))
        width = size or max(1, BATCH_TOKENS // bucket)
        for start in range(0, len(group), width):
            batch = group[start : start + width]
            yield [*batch, *[batch[0]] * (width - len(batch))]


class _Runs:
    """Batches of one call, a batch on each device."""

    def __init__(self, model: Model, call: Asked, logits: LogitsOf, parallel: RowParallel):
        self.model, self.call, self.logits, self.parallel = model, call, logits, parallel
        self.shared = parallel.replicate((model.transformer, call.dictionary, call.taps))

    def found(self, stripe: Sequence[list[_Row]]) -> dict[int, _Found]:
        """What comes of some batches of one kind, by the number of the row."""
        own = [self._own(batch) for batch in stripe]
        found: dict[int, _Found] = {}
        results = self.parallel.run(_edited_pass, self.shared, own, logits_of=self.logits)
        for batch, one, (out, finite) in zip(stripe, own, to_host(results), strict=True):
            self._check(batch, one, finite)
            numbers = (row.number for row in batch)
            found |= dict(zip(numbers, _found(out, np.asarray(one.lengths), self.call.taps, self.logits), strict=True))
        return found

    def _own(self, batch: Sequence[_Row]) -> _Own:
        edits = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(row.edits for row in batch))
        lengths = np.array([len(row.tokens) for row in batch])
        tokens = np.zeros((len(batch), bucket_width(len(batch[0].tokens))), np.int32)
        for place, row in zip(tokens, batch, strict=True):
            place[: len(row.tokens)] = row.tokens
        try:
            held = held_of(self.model.transformer, tokens, lengths, self.call.held, self.call.dictionary)
        except NotFiniteError as error:
            raise NotFiniteError(str(error), batch[error.row].number) from None
        return _Own(edits, tokens, lengths, held)

    def _check(self, batch: Sequence[_Row], own: _Own, finite: Bool[np.ndarray, " B"]) -> None:
        if not finite.all():
            try:
                refuse(partial(full_precision(_edited_pass), self.shared, own, logits_of=self.logits), ~finite)
            except NotFiniteError as error:
                raise NotFiniteError(str(error), batch[error.row].number) from None


def _edited_pass(
    shared: tuple[Transformer, InMemory | None, tuple[BoundTap, ...]], own: _Own, *, logits_of: LogitsOf
) -> tuple[Pass, Bool[Array, " B"]]:
    """One batch, and whether all of a row is numbers; a program for `RowParallel.run`."""
    transformer, dictionary, taps = shared
    instruments = Instruments(bind_all(own.edits, dictionary), taps, held=own.held)
    tokens, lengths = jnp.asarray(own.tokens), jnp.asarray(own.lengths)
    return judged_pass(transformer, tokens, instruments, lengths, logits_of=logits_of)


def _found(out: Pass, lengths: np.ndarray, taps: tuple[BoundTap, ...], logits: LogitsOf) -> Iterator[_Found]:
    """Each row's part, without the padding."""
    for row, length in enumerate(lengths):
        own = np.asarray(out.logits[row, 0] if logits == "last" else out.logits[row, :length])
        pairs = zip(out.records, taps, strict=True)
        records = tuple(_unpadded(record, tap.spec.stream, row, length) for record, tap in pairs)
        yield _Found(own, records, sum(int(report.applied[row, :length].sum()) for report in out.edits))


def _unpadded(record: Record, stream: str, row: int, length: int) -> Record:
    """A row's record without batch axis and padding."""

    def cut(values):
        if values is None:
            return None
        return values[:, row, :, :length, :length] if stream == "attn_pattern" else values[:, row, :length]

    return Record(cut(record.values), record.valid[row, :length], cut(record.ids))


def _result(tokens: list[list[int]], found: list[_Found], arms: int, logits: LogitsOf, tapped: Tapped) -> RunResult:
    """Rows as prompts, arms stacked where there are some (`arms` above 0)."""
    applied = np.array([row.applied for row in found])
    several = [found[i : i + arms] for i in range(0, len(found), arms)] if arms else [[row] for row in found]
    join = np.stack if arms else (lambda arrays: arrays[0])
    made = tuple(join([row.logits for row in own]) for own in several) if logits else ()
    records = tuple(
        tuple(_joined([row.records[tap] for row in own], join) for own in several) for tap in range(len(tapped.specs))
    )
    applied = applied.reshape(len(tokens), arms) if arms else applied
    return RunResult(tuple(map(tuple, tokens)), made, records, applied, tapped)


def _joined(records: Sequence[Record], join: Any) -> Record:
    ids = None if records[0].ids is None else join([record.ids for record in records])
    return Record(join([record.values for record in records]), records[0].valid, ids)
