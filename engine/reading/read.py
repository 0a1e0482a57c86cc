"""`read`: prompts run in padded passes, streams taken at chosen places, and each layer reduced to what is kept.

    for part in read(transformer, rows, ("resid_post",), dictionary, TopK(50)):
        part.layer, part.rows, part.values["ids"]

A pass runs a fixed number of rows (per device) and leaves the streams of all layers at the places read; then one layer
after another goes through its dictionary and the reduction, a program of its own that serves every layer. A row's
results are a function of the row, its widths and the rows of a pass, to the bit: neither order nor neighbours nor the
number of devices change them.

Where the dictionaries are decides the order of the loops:

    in memory    placed whole on every device once; layers inside passes
    split        by features over a mesh (`Sharded`): they stay where they are, and rows go along its other axis
    streamed     passes are run until their streams fill `HELD_BYTES` of the host, then each layer is fetched once for
                 all of them

Shapes: B rows of a pass and device, S places of a row, P layers, D stream.
Cost: one forward pass a row without its logits, and the reduction's own. Memory: [P, B, S, D] a pass.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.devices import RowParallel, parallel_of
from causeway.engine.dictionary.finite import refuse_features
from causeway.engine.dictionary.placement import Holder, StreamedDictionaries
from causeway.engine.gathered import to_host
from causeway.engine.intervention.sites import once
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.finite import all_finite
from causeway.engine.model.forward import check_rows
from causeway.engine.model.transformer import Transformer
from causeway.engine.progress import Step
from causeway.engine.reading.passes import ROWS, ReadPass, ReadRow, Slots, all_places, deal, prompt_name
from causeway.engine.reading.programs import reduced, run_and_reduced, streams_read
from causeway.engine.reading.reductions import Reduction

HELD_BYTES = 1 << 30
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Part:
    """What was kept of one layer of the rows of one device, so that parts are the same on any number of devices.

    Attributes:
        layer: model layer; -1 where all were reduced together.
        rows: numbers of the rows.
        there: [n, S] which places of each were read.
        values: the reduction's results; rows first, totals with an axis of one first.
    """

    layer: int
    rows: Int[np.ndarray, " n"]
    there: Bool[np.ndarray, "n S"]
    values: Mapping[str, np.ndarray]


def layers_read(dictionary: Holder | None, layers: Sequence[int] | None) -> tuple[int, ...]:
    """The layers asked for, by default the dictionary's."""
    return tuple(dictionary.config.layers if layers is None and dictionary is not None else layers or ())


def read(
    transformer: Transformer,
    rows: Sequence[ReadRow],
    streams: Sequence[str],
    dictionary: Holder | None,
    reduce: Reduction,
    *,
    data: Any = None,
    layers: Sequence[int] | None = None,
    batch_rows: int = ROWS,
    parallel: RowParallel | None = None,
    slots: Slots = all_places,
    width: int | None = None,
    name: Callable[[int], str] = prompt_name,
    progress: Progress | None = None,
) -> Iterator[Part]:
    """Run rows and keep something of each; `passes.check_read` refuses what this cannot do.

    Args:
        transformer: the model.
        rows: tokens and places.
        streams: what is read; the dictionary's own first.
        dictionary: any holder, under the model's names; None for reductions of all layers at once that need none.
        reduce: what is kept.
        data: arrays that the reduction needs.
        layers: model layers; default: the dictionary's. Streams that come once (`final_norm`) are of no layer.
        batch_rows: rows of a pass, per device; part of what fixes the bits.
        parallel: devices the rows are spread over (default: those of the weights).
        slots, width: see `passes.deal`.
        name: of a row, for errors.
        progress: called with (rows done, rows in all) as passes are finished, by who counts more than these.

    Yields:
        Parts; of one layer in the order of the passes. Last, where the reduction carries, what was carried: a part
        without rows of each layer and device.

    Raises:
        NotFiniteError: a row's pass, or a feature, is not all numbers.
    """
    parallel = parallel or parallel_of(transformer, dictionary)
    layers = layers_read(dictionary, layers)
    reader = _Reader(parallel, parallel.replicate(transformer), dictionary, reduce, data, tuple(streams), layers, name)
    dealt = deal(rows, batch_rows * parallel.count, transformer.config.max_position, slots, width)
    done = 0
    # Of prompts of very different length the first ones, which are short, would promise too much.
    with Step("prompts read", sum(len(row.tokens) for row in rows), "token") as step:
        for passes, parts in reader.groups(dealt):
            yield from (own for part in parts for own in _of_devices(part, batch_rows, reduce.totals))
            done += sum(len(one.rows) for one in passes)
            step.advance(sum(int(one.lengths[: len(one.rows)].sum()) for one in passes))
            if progress:
                progress(done, len(rows))
    yield from reader.last()


def _of_devices(part: Part, rows: int, totals: Sequence[str]) -> Iterator[Part]:
    """A part of several devices, of `rows` rows each, as one device at a time gives it; none of those without rows."""
    for device, start in enumerate(range(0, len(part.rows), rows)):
        own = slice(start, start + rows)
        values = {n: a[device : device + 1] if n in totals else a[own] for n, a in part.values.items()}
        yield Part(part.layer, part.rows[own], part.there[own], values)


Streams = tuple[Float[Array, "devices P B S D"], ...]
# A pass, its streams, and what is there with its labels on the devices.
Ran = tuple[ReadPass, Streams, tuple[Array, ...]]


class _Reader:
    """What stays the same from pass to pass."""

    def __init__(
        self, parallel: RowParallel, transformer: Transformer, dictionary: Holder | None, reduce: Reduction,
        data: Any, streams: tuple[str, ...], layers: tuple[int, ...], name: Callable[[int], str],
    ):  # fmt: skip
        self.parallel, self.transformer, self.reduce, self.layers, self.name = (
            parallel, transformer, reduce, layers, name,
        )  # fmt: skip
        self.data = parallel.replicate(data)
        carrying = layers if reduce.carries else ()
        self.carried = {layer: parallel.place([reduce.start()] * parallel.count) for layer in carrying}
        self.streamed = isinstance(dictionary, StreamedDictionaries)
        self.dictionary: Any = dictionary if dictionary is None or self.streamed else parallel.replicate(dictionary)
        own = [once(stream, transformer.config.num_layers) for stream in streams]
        places = [layers if single is None else (single,) for single in own]
        self.taps = tuple(
            bind_tap(TapSpec(stream, "raw", at), None) for stream, at in zip(streams, places, strict=True)
        )

    def groups(self, dealt: Iterator[ReadPass]) -> Iterator[tuple[list[ReadPass], Iterator[Part]]]:
        """(passes, their parts) of passes whose layers are read together: of one, or of as many as the host holds."""
        if self.dictionary is None:
            yield from (([batch], iter([self.at_once(batch)])) for batch in dealt)
            return
        group: list[Ran] = []
        held = 0
        for batch in dealt:
            streams = self._run(batch)
            if self.streamed:
                streams = to_host(streams)
                held += sum(stream.nbytes for stream in streams)
            group.append((batch, streams, self._split((batch.there, batch.labels))))
            if not self.streamed or held >= HELD_BYTES:
                yield [ran for ran, *_ in group], self.parts(group)
                group, held = [], 0
        if group:
            yield [ran for ran, *_ in group], self.parts(group)

    def parts(self, group: list[Ran]) -> Iterator[Part]:
        """The results of some passes, layer by layer."""
        for index, layer in enumerate((-1,) if self.reduce.whole else self.layers):
            holder, number = (self.dictionary, layer) if layer < 0 else self.dictionary.resident(layer)
            if self.streamed:
                holder = self.parallel.replicate(holder)
            for batch, streams, marks in group:
                yield self._part(batch, streams, marks, holder, layer, number, index)

    def at_once(self, batch: ReadPass) -> Part:
        """The results of a pass without a dictionary: one program runs and reduces it."""
        own = self._split((batch.tokens, batch.lengths, batch.places, batch.there, batch.labels))
        program = self.parallel.program(run_and_reduced, reduce=self.reduce)
        out, finite = program((self.transformer, self.taps, self.data), own)
        self._check_pass(finite, batch)
        return self._checked(batch, -1, to_host(out))

    def _run(self, batch: ReadPass) -> Streams:
        own = self._split((batch.tokens, batch.lengths, batch.places))
        streams, finite = self.parallel.program(streams_read)((self.transformer, self.taps), own)
        self._check_pass(finite, batch)
        return streams

    def _check_pass(self, finite: Any, batch: ReadPass) -> None:
        check_rows(finite, self.transformer, batch.tokens, batch.lengths, [self.name(row) for row in batch.rows])

    def _split(self, arrays: Sequence[np.ndarray]) -> tuple[Array, ...]:
        count = self.parallel.count
        return tuple(self.parallel.split(a.reshape(count, len(a) // count, *a.shape[1:])) for a in arrays)

    def _part(
        self,
        batch: ReadPass,
        streams: Streams,
        marks: tuple[Array, ...],
        holder: Any,
        layer: int,
        number: int,
        index: int,
    ) -> Part:
        slot = index
        if self.streamed and not self.reduce.whole:
            # Only the layer that is read travels back to the devices.
            streams, slot = tuple(self.parallel.split(s[:, index : index + 1]) for s in streams), 0
        numbers = np.array([number, index, slot], np.int32)
        own = (streams, *marks, self.carried.get(layer))
        shared = (None, holder, self.parallel.replicate(numbers), self.data)
        out = self.parallel.program(reduced, reduce=self.reduce)(shared, own)
        if self.reduce.carries:
            self.carried[layer] = out.pop("carried")
        return self._checked(batch, layer, to_host(out))

    def last(self) -> Iterator[Part]:
        """What was carried through all passes, of one device after another."""
        none = np.zeros(0, int), np.zeros((0, 0), bool)
        for layer, carried in self.carried.items():
            for own in self.parallel.apart(to_host(carried), self.parallel.count):
                yield Part(layer, *none, own)

    def _checked(self, batch: ReadPass, layer: int, values: dict[str, np.ndarray]) -> Part:
        """Results without the rows that fill a pass.

        Raises:
            NotFiniteError: naming a feature, or a row.
        """
        count = len(batch.rows)
        for name, array in values.items():
            if name not in self.reduce.totals:
                values[name] = array.reshape(-1, *array.shape[2:])[:count]
        if self.reduce.by_feature:
            f = values[self.reduce.by_feature]
            if not all_finite(f):
                refuse_features(int(np.isfinite(f).all(axis=0).argmin()), layer, self.dictionary)
        elif self.reduce.reads_model:
            rows = [array for name, array in values.items() if name not in self.reduce.totals]
            finite = [np.isfinite(array).reshape(count, -1).all(axis=1) for array in rows]
            self._check_pass(np.all(finite, axis=0), batch)
        return Part(layer, batch.rows, batch.there[:count], values)
