"""The edits and taps a pass carries, met at each stream by one call.

A block calls `observe(stream, x)` wherever a stream passes; the observer puts back what is held of that stream, applies
its edits, all of which read it unedited, then lets edits that write a later stream (transcoders) and the taps read the
result, so a tap at an edited site reads the edited stream, re-encoded. The observer lives for one layer of one trace:
its readings are collected and returned by the pass.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.dictionary.config import place_among
from causeway.engine.intervention.apply import (
    BoundEdit,
    StreamEdit,
    read_crossing,
    read_edit,
    write_crossing,
    write_edits,
)
from causeway.engine.intervention.changes import Change, EditReport
from causeway.engine.intervention.edges import BoundEdge, Edges, edit_edges
from causeway.engine.intervention.features import Start, crosses
from causeway.engine.intervention.held import Held
from causeway.engine.intervention.hold import FEATURES
from causeway.engine.intervention.sites import NORMS, ONCE
from causeway.engine.intervention.taps import BoundTap, Reading, read
from causeway.engine.model.finite import seen


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Differentiated:
    """How a pass is differentiated at its streams.

    Attributes:
        pushes: what is added to streams by name, [L, B, T, ...] each ([1, B, T, ...] of streams that come once): zeros,
            whose gradient is that of the stream.
        stopped: streams, and denominators of norms, that are constants to the gradient.
    """

    pushes: dict[str, Array]
    stopped: tuple[str, ...] = dataclasses.field(metadata={"static": True})

    def __call__(self, stream: str, x: Array, layer: int | Array) -> Array:
        """The stream as the gradient is to see it; its value is the same."""
        x = jax.lax.stop_gradient(x) if stream in self.stopped else x
        if stream not in self.pushes:
            return x
        push = self.pushes[stream]
        return x + push[0 if stream in ONCE else layer].astype(x.dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Instruments:
    """What a pass carries; hashable structure, array leaves."""

    edits: tuple[BoundEdit, ...] = ()
    taps: tuple[BoundTap, ...] = ()
    differentiated: Differentiated | None = None
    held: Held | None = None

    def carried(self, x: Float[Array, "B T D"]) -> "Carried":
        """What edits carry into the first layer, whose stream x is: nothing yet."""
        wide = jnp.promote_types(x.dtype, jnp.float32)
        crossing = {i: bound.edit for i, bound in enumerate(self.edits) if crosses(bound)}
        tokens = {i: (len(e.layer), 1) if e.spec.pinned else x.shape[:2] for i, e in crossing.items()}
        carried = {i: jnp.zeros((*tokens[i], e.layer.shape[1]), wide) for i, e in crossing.items()}
        if self.held is not None and (kept := self.held.features) is not None and kept.crosses:
            carried[KEPT] = jnp.zeros((len(kept.config.layers), *x.shape), wide)
        return carried


# What edits carry from layer to layer, by their place among the edits: how much each slot adds to its value, [B, T, E],
# or [B E, 1, 1] of pinned ones.
# Under KEPT what held features of cross-layer transcoders write more or less to every layer, [L, B, T, O].
Carried = dict[int, Array]
KEPT = -1


class Observer:
    """One layer's meeting point. `layer` is an int where layers are unrolled, traced where they are scanned.

    `real` tells which tokens count, [B, T] or what broadcasts to it; None: all. `carried` is what edits bring from the
    layers below, and then what they take to those above.
    """

    def __init__(
        self, instruments: Instruments, layer: int | Array, positions: Int[Array, "#rows T"],
        real: Bool[Array, "#rows #T"] | None = None, carried: Carried | None = None,
    ):  # fmt: skip
        self.carried = dict(carried or {})
        self.instruments, self.layer, self.positions, self.real = instruments, layer, positions, real
        self.readings: dict[int, tuple[Array, Array | None]] = {}
        self.reports: dict[int, EditReport] = {}
        self._pending: dict[int, Change] = {}
        self.on_edges = {i: bound for i, bound in enumerate(instruments.edits) if isinstance(bound, BoundEdge)}
        self.on_streams = {i: bound for i, bound in enumerate(instruments.edits) if not isinstance(bound, BoundEdge)}

    def __call__(self, stream: str, x: Array, edges: Edges | None = None) -> Array:
        """Apply this stream's edits, then read it for edits of later streams and for its taps.

        Args:
            edges: of a pattern or a piece of one, where its keys stand.

        Raises:
            ValueError: an edit's dictionary reads a stream that did not pass before the one it writes.
        """
        edits, held = self.on_streams, self.instruments.held
        x = self._with_features(stream, self._kept(stream, x, edges))
        if stream not in NORMS:
            seen(stream, self.layer, x, self.real, self.positions)
        changes = {i: self._change(i, bound, x) for i, bound in edits.items() if bound.edit.spec.stream == stream}
        if changes or (edges is not None and self.on_edges):
            x = self._edged(x, edges) if edges is not None else self._written(stream, changes, x)
            seen(stream, self.layer, x, self.real, self.positions, edited=True)
        for i, bound in edits.items():
            if bound.reads == stream != bound.edit.spec.stream:
                self._read_ahead(i, bound, stream, x)
        if self.instruments.differentiated is not None:
            x = self.instruments.differentiated(stream, x, self.layer)
        for i, tap in enumerate(self.instruments.taps):
            if tap.spec.stream == stream:
                self._read(i, tap, x)
        if held and held.skip and held.skip.reads == stream:
            self._input = x
        return x

    def _kept(self, stream: str, x: Array, edges: Edges | None) -> Array:
        """The stream with what is held put back; whole patterns of one row where all rows share them."""
        held = self.instruments.held
        if held is None or stream not in held.layers:
            return x
        clean = held.clean(stream, self.layer) if edges is None else held.pattern(self.layer, edges)
        if stream == "mlp_out" and held.skip is not None:
            clean = clean + held.skip(self._input - held.clean(held.skip.reads, self.layer), self.layer)
        kept = held.choose(stream, self.layer, clean, x)
        shared = stream in NORMS or (edges is not None and edges.piece is None)
        return kept if shared else jnp.broadcast_to(kept, x.shape)

    def _with_features(self, stream: str, x: Array) -> Array:
        """The stream with held features as they were; where it is held itself, it is that already."""
        held = self.instruments.held
        if held is None or (kept := held.features) is None:
            return x
        if stream == kept.config.stream:
            here = jnp.asarray(held.layers[FEATURES])[self.layer]
            self._restored = kept.push(x, held.clean(stream, self.layer), self.layer, here)
            if kept.crosses:
                self.carried[KEPT] = self.carried[KEPT] + self._restored
        if stream != kept.config.output_stream:
            return x
        restored = self.carried[KEPT][self.layer] if kept.crosses else self._restored
        return held.choose(stream, self.layer, x, write_edits([Change(restored)], x))

    @property
    def meets_patterns(self) -> bool:
        """Whether anything is done to attention patterns."""
        held = self.instruments.held
        return bool(self.on_edges) or (held is not None and "attn_pattern" in held.layers)

    @property
    def needs_patterns(self) -> bool:
        """Whether whole patterns have to be formed: something changes or reads them, or the pass is differentiated."""
        read = any(tap.spec.stream == "attn_pattern" for tap in self.instruments.taps)
        return self.meets_patterns or read or self.instruments.differentiated is not None

    def _start(self, bound: StreamEdit, stream: str, x: Array) -> Start | None:
        """Which edited features start from the clean stream, where some do."""
        held = self.instruments.held
        if held is None or bound.edit.spec.family != "feature":
            return None
        slots, everywhere = held.starts_clean(bound.edit.feature, self.layer), "mlp_out" in held.whole
        if slots is None:
            return None
        clean = held.clean(stream, self.layer)
        clean = clean if bound.edit.spec.pinned else jnp.broadcast_to(clean, x.shape)
        return Start(clean, None if everywhere else slots)

    def _read_edit(self, bound: StreamEdit, stream: str, x: Array) -> tuple[Change, EditReport]:
        return read_edit(bound, x, self.layer, self.positions, self._start(bound, stream, x))

    def _read_ahead(self, i: int, bound: StreamEdit, stream: str, x: Array) -> None:
        """Read a stream for an edit of a later one, in this layer or also in those above."""
        if not crosses(bound):
            self._pending[i], self.reports[i] = self._read_edit(bound, stream, x)
            return
        start = self._start(bound, stream, x)
        moved, self.reports[i] = read_crossing(bound, x, self.layer, self.positions, start)
        self.carried[i] = self.carried[i] + moved.astype(self.carried[i].dtype)

    def _edged(self, x: Float[Array, "B H T S"], edges: Edges) -> Float[Array, "B H T S"]:
        """The pattern with its edited edges; a pattern in pieces comes here once for each."""
        rows = len(next(iter(self.on_edges.values())).edit.layer)
        x = jnp.broadcast_to(x, (rows, *x.shape[1:]))  # a pattern that is held may be one for all rows
        found = {i: edit_edges(e, x, self.layer, self.positions, edges) for i, e in self.on_edges.items()}
        for i, (added, report) in found.items():
            x = x + added
            self.reports[i] = self.reports[i] + report if i in self.reports else report
        return x

    def _written(self, stream: str, changes: dict[int, Change], x: Array) -> Array:
        """The stream after its changes, by their edits' place."""
        return write_edits(list(changes.values()), x)

    def _change(self, i: int, bound: StreamEdit, x: Array) -> Change:
        """What an edit makes of its stream; features write to some layers alone where holds say so."""
        change, held = self._made(i, bound, x), self.instruments.held
        if held is None or held.writes is None or bound.edit.spec.family != "feature":
            return change
        return dataclasses.replace(change, value=jnp.where(jnp.asarray(held.writes)[self.layer], change.value, 0))

    def _made(self, i: int, bound: StreamEdit, x: Array) -> Change:
        writes = bound.edit.spec.stream
        if crosses(bound):
            return write_crossing(bound, self.carried[i], self.layer, x, self.positions)
        if bound.reads == writes:
            change, self.reports[i] = self._read_edit(bound, writes, x)
            return change
        if i not in self._pending:
            raise ValueError(
                f"edits: a dictionary reads {bound.reads} and writes {writes}, but this pass does not form "
                f"{bound.reads} before it; run whole blocks of a model that has that stream"
            )
        return self._pending.pop(i)

    def _read(self, i: int, tap: BoundTap, x: Array) -> None:
        layers = tap.spec.layers
        if isinstance(self.layer, int):
            if self.layer in layers:
                self.readings[i] = self._shown(tap, read(tap, x, layers.index(self.layer)))
            return
        if tap.spec.reader == "raw":
            self.readings[i] = read(tap, x, 0)
            return
        # Scanned layers share one program: the reader runs where the layer is tapped, zeros elsewhere.
        position = place_among(layers, self.layer)
        shapes = jax.eval_shape(lambda: read(tap, x, 0))
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        here = jax.lax.cond(position >= 0, lambda: read(tap, x, position), lambda: zeros)
        self.readings[i] = self._shown(tap, here)

    def _shown(self, tap: BoundTap, reading: Reading) -> Reading:
        """The reading, shown as a place of its own where it is not the stream itself."""
        if tap.spec.reader != "raw":
            seen(f"{tap.spec.stream} read by {tap.spec.reader}", self.layer, reading[0], self.real, self.positions)
        return reading
