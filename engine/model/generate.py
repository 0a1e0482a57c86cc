"""Many trials of one prompt, token after token: `generate_rows`.

The host's part of generation: rows are cut into buckets of a fixed width, the prompt's prefix is computed once, and
the tokens are drawn in segments of fixed lengths. Between segments, rows that chose a stop token leave and live ones
take their places, so the batch stays full; every (bucket, segment) pair is one compiled program.

A row's bits are a function of the row and of the widths in `Layout`, never of the rows around it.

The device is kept busy: within a segment nothing comes to the host, between two only which rows are live. What a
segment gives goes to the host while the next one runs (`rollouts`), and programs of later segments are compiled while
the first one's is (`compile_ahead`).
"""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from causeway.engine import scalars
from causeway.engine.devices import RowParallel, parallel_of
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.gathered import gathered, to_host
from causeway.engine.intervention.edits import EMPTY, Edit
from causeway.engine.intervention.held import Held
from causeway.engine.intervention.taps import BoundTap, single
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.cache import Prefix, empty_segment, prefill, prefill_rows
from causeway.engine.model.compile_ahead import compile_ahead, pays
from causeway.engine.model.decode import Fed, Own, Rows, Shared, Steps, decode_segment, feed_segment
from causeway.engine.model.finite import NotFiniteError, all_finite, traced
from causeway.engine.model.refusals import check_first_edit, check_generation, check_taps
from causeway.engine.model.rollouts import Ends, Generation, Rollouts
from causeway.engine.model.sampling import Sampling, row_keys
from causeway.engine.model.segments import Layout
from causeway.engine.model.stripes import Stripe, deal, forced_tokens, padded, repack, used
from causeway.engine.model.transformer import Transformer
from causeway.engine.model.unrolled import unrolled
from causeway.engine.precision import full_precision


def generate_rows(
    transformer: Transformer,
    prompt: Sequence[int] | Int[np.ndarray, "*rows S"],
    *,
    trials: Int[np.ndarray, " R"],
    layout: Layout,
    sampling: Sampling,
    seed: int,
    prompt_id: int | Int[np.ndarray, " R"],
    edits: tuple[Edit, ...] = (),
    dictionary: InMemory | None = None,
    held: Held | None = None,
    taps: tuple[BoundTap, ...] = (),
    recomputed: bool = False,
    forced: Int[np.ndarray, "R N"] | None = None,
    first_edit: int | None = None,
    parallel: RowParallel | None = None,
    ends: Ends | None = None,
    first: Int[np.ndarray, " R"] | None = None,
) -> Generation:
    """Draw R trials of a prompt; rows may differ in edit and trial number.

    Args:
        prompt: token ids; or the first S of each row's own prompt, the rest of which is forced (`prompts`).
        trials: trial number of each row; equal numbers share their noise.
        edits: arrays [R, E], checked (`check_edits`). held: what prompt tokens keep of the prompt's clean pass.
        forced: tokens to take instead of drawing, -1 to draw.
        first_edit: first edited position of any row of the whole plan for this prompt (default: of these rows). The
            shared prefix ends before it; it is part of what fixes the bits, so a sweep passes the plan's own.
        parallel: devices to spread buckets over (default: those of the weights, placed before by `replicate`).
        recomputed: edits act on the token being processed alone (see decode.py).
        ends: asked between segments how many of each row's tokens [R, n] are kept; rows that are over leave.
        first: the step of each row's first draw, from which its draws are counted (default: 0).

    Raises:
        ValueError: parts that do not fit each other or the model (`refusals`), a seed of more than 32 bits, or
            recomputed with an edit before the last prompt token.
        NotFiniteError: a row's streams or logits stop being numbers; its `row` is that row.
    """
    seed, prompt = scalars.seed(seed), np.asarray(prompt, np.int32)
    check_generation(prompt, trials, edits, forced, layout.max_new_tokens, transformer.config.max_position)
    check_taps(taps, transformer.config, unread=("attn_pattern",))
    count, last, own = len(trials), prompt.shape[-1] - 1, prompt.ndim == 2
    check_first_edit(first_edit, first_edited_position(edits))
    first_edit = first_edited_position(edits) if first_edit is None else first_edit
    if recomputed and first_edit < last:
        raise ValueError(
            f"recomputed: an edit starts at position {first_edit}, before the last prompt token ({last}); earlier "
            "positions are read clean under recomputed semantics, so it would do nothing; use cached"
        )
    if own and first_edit < last:
        raise ValueError(f"prompt: {last} tokens of each row run before an edit at {first_edit}; give fewer of them")
    shared = 0 if own else min(first_edit, last)
    parallel = parallel or parallel_of(transformer, dictionary)
    prefix = shared_prefix(transformer, prompt[..., :shared], shared).unrolled()
    taps = tuple(map(single, taps))
    layers, known, prefix, held, taps = parallel.replicate((unrolled(transformer), dictionary, prefix, held, taps))
    run = _Run(transformer, layers, known, prefix, held, prompt, shared, taps, layout, sampling, recomputed, parallel)
    keys = np.asarray(jax.random.key_data(row_keys(seed, prompt_id, np.asarray(trials, np.int32))))
    return run.draw(edits, keys, np.zeros(count, np.int32) if first is None else first, forced, ends)


def shared_prefix(transformer: Transformer, prompt: Sequence[int] | Int[np.ndarray, "*R T"], length: int) -> Prefix:
    """The cache of a prompt's first `length` tokens, in the bucket that fits them."""
    padded = np.zeros(bucket_width(max(length, 1)), np.int32)
    if length:
        padded[:length] = prompt[:length]
    return prefill(transformer, jnp.asarray(padded), jnp.int32(length))


def first_edited_position(edits: tuple[Edit, ...]) -> int:
    """The earliest position any slot acts on; a large number without edits."""
    never = np.iinfo(np.int32).max
    starts = (np.where(np.asarray(edit.layer) != EMPTY, np.asarray(edit.start), never) for edit in edits)
    return min((int(start.min(initial=never)) for start in starts), default=never)


# Segments whose results are on their way while the next one runs: each keeps what it was made from.
_UNDERWAY = 1


@dataclasses.dataclass(frozen=True)
class _Segment:
    """A segment on its way: whose it is, from which step on, what comes of it, and what it was made from, should it
    have to be traced."""

    ids: list[np.ndarray]
    drawn: int
    steps: Steps
    shared: Shared
    own: Own
    static: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Run:
    """One prompt's generation: what stays fixed while its stripes go through the segments.

    `whole` runs the prompts' tokens, single blocks the steps; off the CPU they are the same arrays.
    """

    whole: Transformer
    transformer: Transformer
    dictionary: InMemory | None
    prefix: Prefix
    held: Held | None
    prompt: np.ndarray
    shared: int
    taps: tuple[BoundTap, ...]
    layout: Layout
    sampling: Sampling
    recomputed: bool
    parallel: RowParallel

    def draw(
        self, edits: tuple[Edit, ...], keys: np.ndarray, first: np.ndarray, forced: np.ndarray | None, ends: Ends | None
    ) -> Generation:
        out = Rollouts(len(keys), self.layout.max_new_tokens)
        dealt = deal(np.arange(len(keys)), self.layout.rows, self.parallel)
        stripes = [self._open(ids, edits, keys, first) for ids in dealt]
        ahead = self._compile_ahead(stripes[0]) if stripes and pays(self.parallel) else iter(())
        underway: collections.deque[_Segment] = collections.deque()
        drawn = 0
        for length in self.layout.segments:
            if (program := next(ahead, None)) is not None:
                program.result()
            for stripe in stripes:
                # The device starts on this stripe before the host waits for the one before it.
                underway.append(self._segment(stripe, drawn, length, forced))
                self._deliver(underway, out, _UNDERWAY)
            drawn += length
            if ends is not None:
                self._deliver(underway, out, 0)
                kept = ends(out.tokens[:, :drawn])
                out.cut(kept)
                stripes = [stripe.without(kept <= drawn, self.parallel) for stripe in stripes]
            if drawn < self.layout.max_new_tokens:
                stripes = repack(stripes, self.parallel)
            if not stripes:
                break
        self._deliver(underway, out, 0)
        return out.result(self.prompt if self.prompt.ndim == 1 else self.prompt[0, :0])

    @property
    def last(self) -> int:
        """Position of the first step."""
        return self.prompt.shape[-1] - 1

    def _open(self, ids: list[np.ndarray], edits: tuple[Edit, ...], keys: np.ndarray, first: np.ndarray) -> Stripe:
        """Place a stripe's rows, and run the prompt tokens that are not shared by all rows."""
        chosen = np.stack([padded(bucket, self.layout.rows) for bucket in ids])
        edits = self.parallel.split(jax.tree.map(lambda a: np.asarray(a)[chosen], edits))
        token = np.broadcast_to(self.prompt[..., -1], first.shape)[chosen]
        rows = self.parallel.split(Rows(token, used(ids, self.layout.rows), keys[chosen], first[chosen]))
        if self.last == self.shared:
            return Stripe(ids, edits, rows, ())
        if self.prompt.ndim == 2:
            tokens = self.parallel.split(self.prompt[chosen, :-1])
            return Stripe(ids, edits, rows, (self.parallel.program(prefill_rows)(self.whole, tokens),))
        fed = self.parallel.replicate(self._fed())
        own = Own(rows, edits, (), self.parallel.split(np.zeros((len(ids), 0, self.layout.rows), np.int32)))
        return Stripe(ids, edits, rows, (self.parallel.program(feed_segment)(fed, own),))

    def _fed(self) -> Fed:
        """The prompt tokens that differ from row to row, padded in front to their bucket."""
        between = self.prompt[self.shared : -1]
        first = bucket_width(len(between)) - len(between)
        return Fed(
            self.transformer, self.dictionary, self.prefix, jnp.asarray(np.pad(between, (first, 0))),
            jnp.int32(first), jnp.int32(self.shared - first), self.held,
        )  # fmt: skip

    def _segment(self, stripe: Stripe, drawn: int, length: int, forced: np.ndarray | None) -> "_Segment":
        """Start one segment of one stripe; the stripe moves on, and its results are on their way to the host."""
        shared = self._shared(drawn)
        taken = np.stack([forced_tokens(forced, bucket, drawn, length, self.layout.rows) for bucket in stripe.ids])
        own = Own(stripe.rows, stripe.edits, stripe.past, self.parallel.split(taken))
        static = self._static(length)
        stripe.rows, segment, steps = self.parallel.program(decode_segment, **static)(shared, own)
        stripe.past = (*stripe.past, segment)
        steps = gathered(steps)
        for array in jax.tree.leaves(steps):
            array.copy_to_host_async()
        return _Segment(stripe.ids, drawn, steps, shared, own, static)

    def _shared(self, drawn: int) -> Shared:
        # All but these two numbers is in place: placing what is placed takes the host milliseconds.
        start, count = self.parallel.replicate((jnp.int32(self.last + drawn), jnp.int32(drawn)))
        return Shared(self.transformer, self.dictionary, self.prefix, self.taps, start, count, self.held)

    def _static(self, length: int) -> dict[str, Any]:
        return {"length": length, "sampling": self.sampling, "recomputed": self.recomputed}

    def _compile_ahead(self, stripe: Stripe) -> Iterator[Future]:
        """Start on the programs of all segments, with arguments as they will be."""
        parallel, rows, past = self.parallel, self.layout.rows, stripe.past
        shared, placed = self._shared(0), jax.tree.leaves(stripe.rows)[0].sharding

        def on_devices(a: jax.ShapeDtypeStruct) -> Any:
            return jax.ShapeDtypeStruct((parallel.count, *a.shape), a.dtype, sharding=placed)

        started = []
        for length in self.layout.segments:
            forced = on_devices(jax.ShapeDtypeStruct((length, rows), np.int32))
            program = parallel.program(decode_segment, **self._static(length))
            started.append(compile_ahead(program, shared, Own(stripe.rows, stripe.edits, past, forced)))
            segment = jax.eval_shape(partial(empty_segment, rows=rows, length=length), self.transformer)
            past = (*past, jax.tree.map(on_devices, segment))
        return iter(started)

    def _deliver(self, underway: collections.deque[_Segment], out: Rollouts, left: int) -> None:
        """Wait for results of segments until so many are left, and keep them, if they are numbers."""
        while len(underway) > left:
            segment = underway.popleft()
            steps = to_host(segment.steps)
            check_segment(steps, segment.ids, partial(self._again, segment))
            out.keep_stripe(segment.ids, steps, segment.drawn)

    def _again(self, segment: "_Segment", device: int) -> None:
        """All that a segment's numbers come from, from the prompt on, as plain functions."""
        own = jax.tree.map(lambda a: a[device], segment.own)
        shared_prefix(self.whole, self.prompt[..., : self.shared], self.shared)
        if self.prompt.ndim == 2:
            tokens = self.prompt[padded(segment.ids[device], self.layout.rows), :-1]
            full_precision(prefill_rows)(self.whole, jnp.asarray(tokens))
        elif self.last > self.shared:
            full_precision(feed_segment)(self._fed(), own)
        full_precision(decode_segment)(segment.shared, own, **segment.static)


def check_segment(steps: Steps, ids: list[np.ndarray], again: Callable[[int], None]) -> None:
    """Refuse live rows that stopped being numbers; `again` runs one device's rows as plain functions.

    Raises:
        NotFiniteError: its `row` is that of the request.
    """
    finite, live = np.asarray(steps.finite), np.asarray(steps.live)
    for values, _ in itertools.chain.from_iterable(steps.readings):
        if not all_finite(values):
            finite = finite & np.asarray(np.isfinite(values)).reshape(*finite.shape, -1).all(axis=-1)
    broken = (live & ~finite).any(axis=1)
    for device, mine in enumerate(ids):
        if broken[device].any():
            error = traced(partial(again, device), broken[device])
            raise NotFiniteError(str(error), int(mine[error.row]))
