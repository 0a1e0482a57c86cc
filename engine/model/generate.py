"""Many trials of one prompt, token after token: `generate_rows`.

The host's part of generation: rows are cut into buckets of a fixed width, the prompt's prefix is computed once, and
the tokens are drawn in segments of fixed lengths. Between segments, rows that chose a stop token leave and the live
ones are repacked, so the batch stays full; every (bucket, segment) pair is one compiled program.

A row's bits are a function of the row and of the widths in `Layout`, never of the rows around it.

Records are [R, N, P, W] on the host: step 0 is the last prompt token, step t the t-th new token as input.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.edits import EMPTY, Edit, EditSpec, no_edit
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import BoundTap, Record
from causeway.engine.model.cache import Prefix, Segment, prefill
from causeway.engine.model.decode import Rows, Steps, decode_segment, feed_segment
from causeway.engine.model.sampling import Sampling, row_keys
from causeway.engine.model.transformer import Transformer

WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 16384)


@dataclasses.dataclass(frozen=True)
class Layout:
    """The static widths of a plan: they fix the compiled programs, and with them the bits.

    rows: rows of a bucket, per device. segments: tokens of each segment; together the most tokens a row may draw.
    """

    rows: int
    segments: tuple[int, ...]

    def __post_init__(self):
        if self.rows < 1:
            raise ValueError(f"Layout.rows: got {self.rows}; a bucket needs at least one row")
        if not self.segments or min(self.segments) < 1:
            raise ValueError(f"Layout.segments: got {self.segments}; needs positive lengths")

    @property
    def max_new_tokens(self) -> int:
        """N."""
        return sum(self.segments)


def segment_lengths(max_new_tokens: int, first: int = 16) -> tuple[int, ...]:
    """Growing lengths (16, 16, 32, 64, ...) that sum to `max_new_tokens`.

    Short ones first: most rows that stop, stop early, and each boundary lets them go.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens: got {max_new_tokens}; needs at least 1")
    lengths, total = [], 0
    while total < max_new_tokens:
        lengths.append(min(max(first, total), max_new_tokens - total))
        total += lengths[-1]
    return tuple(lengths)


def bucket_width(length: int, widths: Sequence[int] = WIDTHS) -> int:
    """The smallest bucket that holds `length` tokens.

    Raises:
        ValueError: no bucket is that wide.
    """
    for width in widths:
        if length <= width:
            return width
    raise ValueError(f"prompt: {length} tokens; the widest prompt bucket is {widths[-1]}")


@dataclasses.dataclass(frozen=True)
class Generation:
    """Trials of one prompt.

    Attributes:
        prompt_tokens: the ids the prompt was run as. tokens: [R, N] chosen ids, -1 after a row's end (a stop token
            is the last one kept). records: one a tap, values [R, N, P, W], valid [R, N].
        before, after, applied: [R, N, E] per edit: value before, value set, and whether the edit acted at that step.
    """

    prompt_tokens: tuple[int, ...]
    tokens: Int[np.ndarray, "R N"]
    records: tuple[Record, ...]
    before: tuple[Float[np.ndarray, "R N E"], ...]
    after: tuple[Float[np.ndarray, "R N E"], ...]
    applied: tuple[Bool[np.ndarray, "R N E"], ...]

    @property
    def lengths(self) -> Int[np.ndarray, "R"]:
        """Tokens drawn per row."""
        return (self.tokens >= 0).sum(axis=1)


@dataclasses.dataclass
class _Bucket:
    """Rows on the device: which rows of the request they are, and their state."""

    ids: np.ndarray
    edit: Edit
    rows: Rows
    past: tuple[Segment, ...]


def generate_rows(
    transformer: Transformer,
    prompt: Sequence[int],
    *,
    trials: Int[np.ndarray, "R"],
    layout: Layout,
    sampling: Sampling,
    seed: int,
    prompt_id: int,
    edit_spec: EditSpec | None = None,
    edit: Edit | None = None,
    dictionary: Dictionary | None = None,
    taps: tuple[BoundTap, ...] = (),
    recomputed: bool = False,
    forced: Int[np.ndarray, "R N"] | None = None,
    first_edit: int | None = None,
) -> Generation:
    """Draw R trials of a prompt; rows may differ in edit and trial number.

    Args:
        prompt: token ids. trials: trial number of each row; equal numbers share their noise.
        edit: arrays [R, E], checked (`check_edit`). forced: tokens to take instead of drawing, -1 to draw.
        first_edit: first edited position of any row of the whole plan for this prompt (default: of these rows). The
            shared prefix ends before it; it is part of what fixes the bits, so a sweep passes the plan's own.
        recomputed: edits act on the token being processed alone (see decode.py).

    Raises:
        ValueError: prompt and new tokens exceed the context, or recomputed with an edit before the last prompt token.
    """
    count, last = len(trials), len(prompt) - 1
    if last + layout.max_new_tokens > transformer.config.max_position:
        raise ValueError(
            f"max_new_tokens: {layout.max_new_tokens} after a prompt of {len(prompt)} tokens exceeds the context of "
            f"{transformer.config.max_position}; draw fewer or shorten the prompt"
        )
    edit = edit or no_edit(count)
    if first_edit is None:
        first_edit = first_edited_position(edit)
    if recomputed and first_edit < last:
        raise ValueError(
            f"recomputed: an edit starts at position {first_edit}, before the last prompt token ({last}); earlier "
            "positions are read clean under recomputed semantics, so it would do nothing; use cached"
        )
    run = _Run(transformer, prompt, min(first_edit, last), layout, sampling, recomputed, edit_spec, dictionary, taps)
    return run.draw(np.asarray(trials), edit, seed, prompt_id, forced)


def first_edited_position(edit: Edit) -> int:
    """The earliest position any slot acts on; a large number without edits."""
    live = np.asarray(edit.layer) != EMPTY
    return int(np.asarray(edit.start)[live].min()) if live.any() else np.iinfo(np.int32).max


class _Run:
    """One prompt's generation: what stays fixed while its buckets go through the segments."""

    def __init__(self, transformer, prompt, shared, layout, sampling, recomputed, edit_spec, dictionary, taps):
        self.transformer, self.layout, self.sampling, self.recomputed = transformer, layout, sampling, recomputed
        self.edit_spec, self.dictionary, self.taps = edit_spec, dictionary, taps
        self.prompt, self.shared = np.asarray(prompt, np.int32), shared
        padded = np.zeros(bucket_width(max(shared, 1)), np.int32)
        padded[:shared] = self.prompt[:shared]
        self.prefix: Prefix = prefill(transformer, jnp.asarray(padded), jnp.int32(shared))

    def draw(self, trials: np.ndarray, edit: Edit, seed: int, prompt_id: int, forced: np.ndarray | None) -> Generation:
        keys = row_keys(seed, prompt_id, jnp.asarray(trials, jnp.int32))
        out = _Output(len(trials), self.layout.max_new_tokens)
        buckets = [self._open(ids, edit, keys) for ids in _chunks(np.arange(len(trials)), self.layout.rows)]
        drawn = 0
        for length in self.layout.segments:
            for bucket in buckets:
                taken = _forced(forced, bucket.ids, drawn, length, self.layout.rows)
                out.keep(bucket.ids, drawn, self._segment(bucket, drawn, length, taken))
            drawn += length
            if drawn < self.layout.max_new_tokens:
                buckets = _repack(buckets, self.layout.rows)
        return out.result(self.prompt, len(self.taps), self.edit_spec)

    def _open(self, ids: np.ndarray, edit: Edit, keys) -> _Bucket:
        """A bucket's edits, padded with rows that do nothing, and its cache of edited prompt tokens."""
        slots = _padded(ids, self.layout.rows)
        edit = jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[slots]), edit)
        live = jnp.arange(self.layout.rows) < len(ids)
        rows = Rows(jnp.full(self.layout.rows, self.prompt[-1]), live, keys[slots])
        between = self.prompt[self.shared : -1]
        if not len(between):
            return _Bucket(ids, edit, rows, ())
        width = bucket_width(len(between))
        tokens = np.concatenate([np.zeros(width - len(between), np.int32), between])
        first, start = width - len(between), self.shared - (width - len(between))
        fed = feed_segment(
            self.transformer, self.prefix, jnp.asarray(tokens), jnp.int32(first), jnp.int32(start),
            self._instruments(edit, taps=()), rows=self.layout.rows, recomputed=self.recomputed,
        )  # fmt: skip
        return _Bucket(ids, edit, rows, (fed,))

    def _instruments(self, edit: Edit, taps: tuple[BoundTap, ...]) -> Instruments:
        if self.edit_spec is None:
            return Instruments((), taps)
        return Instruments((_bind(self.edit_spec, edit, self.dictionary),), taps)

    def _segment(self, bucket: _Bucket, drawn: int, length: int, forced: np.ndarray) -> Steps:
        """One segment of one bucket; the bucket moves on."""
        bucket.rows, segment, steps = decode_segment(
            self.transformer, self.prefix, bucket.past, bucket.rows,
            jnp.int32(len(self.prompt) - 1 + drawn), jnp.int32(drawn),
            self._instruments(bucket.edit, self.taps), jnp.asarray(forced),
            length=length, sampling=self.sampling, recomputed=self.recomputed,
        )  # fmt: skip
        bucket.past = (*bucket.past, segment)
        return steps


_bind = jax.jit(bind, static_argnums=0)


def _chunks(ids: np.ndarray, width: int) -> list[np.ndarray]:
    return [ids[i : i + width] for i in range(0, len(ids), width)]


def _padded(ids: np.ndarray, width: int) -> np.ndarray:
    """Row ids with the first one repeated up to the bucket's width; the repeats are never live."""
    return np.concatenate([ids, np.full(width - len(ids), ids[0])])


def _forced(forced: np.ndarray | None, ids: np.ndarray, drawn: int, length: int, width: int) -> np.ndarray:
    if forced is None:
        return np.full((length, width), -1, np.int32)
    return np.asarray(forced, np.int32)[_padded(ids, width), drawn : drawn + length].T


def _repack(buckets: list[_Bucket], width: int) -> list[_Bucket]:
    """Live rows of all buckets in their order, in as few buckets as hold them."""
    live = [np.flatnonzero(np.asarray(b.rows.live)[: len(b.ids)]) for b in buckets]
    if all(len(where) == len(b.ids) for where, b in zip(live, buckets, strict=True)):
        return buckets
    source = np.concatenate([np.stack([np.full(len(w), i), w], axis=1) for i, w in enumerate(live)])
    return [_gather(buckets, chosen, width) for chosen in _chunks(source, width)]


def _gather(buckets: list[_Bucket], chosen: np.ndarray, width: int) -> _Bucket:
    used = sorted(set(chosen[:, 0].tolist()))
    offset = {b: i * width for i, b in enumerate(used)}
    ids = np.array([buckets[b].ids[r] for b, r in chosen])
    rows = jnp.asarray(_padded(np.array([offset[b] + r for b, r in chosen]), width))
    parts = [(buckets[b].edit, buckets[b].rows) for b in used]
    edit, state = jax.tree.map(lambda *a: jnp.concatenate(a)[rows], *parts)
    state = dataclasses.replace(state, live=jnp.arange(width) < len(ids))
    past = [
        jax.tree.map(lambda *a: a[0] if a[0].ndim == 0 else jnp.concatenate(a, axis=1)[:, rows], *segments)
        for segments in zip(*(buckets[b].past for b in used), strict=True)
    ]
    return _Bucket(ids, edit, state, tuple(past))


class _Output:
    """Host arrays of R rows, filled segment by segment."""

    def __init__(self, count: int, steps: int):
        self.count, self.steps = count, steps
        self.tokens = np.full((count, steps), -1, np.int32)
        self.live = np.zeros((count, steps), bool)
        self.arrays: list[np.ndarray] = []
        self.tree = None

    def keep(self, ids: np.ndarray, drawn: int, steps: Steps) -> None:
        """Copy a bucket's segment to its rows; what lies beyond a row's end stays zero."""
        got: Steps = jax.device_get(steps)
        span, rows = slice(drawn, drawn + got.tokens.shape[0]), len(ids)
        live = got.live[:, :rows].T
        self.tokens[ids, span], self.live[ids, span] = got.tokens[:, :rows].T, live
        leaves, self.tree = jax.tree.flatten((got.readings, got.edits))
        for i, leaf in enumerate(leaves):
            # Readings are [S, P, B, W], reports [S, B, E]: rows come first on the host.
            axis = leaf.ndim - 2
            values = np.moveaxis(leaf, axis, 0)[:rows]
            if len(self.arrays) == i:
                self.arrays.append(np.zeros((self.count, self.steps, *values.shape[2:]), values.dtype))
            values = np.where(live.reshape(*live.shape, *[1] * (values.ndim - 2)), values, 0)
            self.arrays[i][ids, span] = values

    def result(self, prompt: np.ndarray, taps: int, edit_spec: EditSpec | None) -> Generation:
        readings, edits = jax.tree.unflatten(self.tree, self.arrays)
        return Generation(
            prompt_tokens=tuple(prompt.tolist()),
            tokens=self.tokens,
            records=tuple(Record(values, self.live, ids) for values, ids in readings),
            before=tuple(e.before for e in edits),
            after=tuple(e.after for e in edits),
            applied=tuple(e.applied for e in edits),
        )
