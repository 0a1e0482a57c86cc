"""Features of prompts at the place their dictionaries read, layer by layer, from one pass over each prompt.

A sample is a chosen token of a prompt; samples follow the prompts' order, then the position. For each layer

    ids, values   the k largest features of each sample
    any           share of the prompts in which a feature is active at one chosen token at least
    mean          share of a prompt's chosen tokens at which it is active, mean over prompts
    strength      mean over prompts of its mean value over the chosen tokens

Tokens of a prompt are not independent, so a prompt counts as one observation, however many tokens it has. Active means
not 0.

Prompts run in passes of a fixed number of rows, padded to the bucket of their length: two programs a bucket, whatever
the prompts. The largest are taken on the device; all values leave it only where they are asked for.

Shapes: P layers, B rows of a pass and device, T bucket, S positions a row, D stream, F features, k.
Memory: [P, B, S, D] and one row's [S, F] on the device; n (samples) x k x 8 bytes a layer on the host.
Cost: one forward pass a prompt, 2 P S D F operations and a top-k of F for every sample and layer.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.analyses.features.positions import Positions
from causeway.engine.devices import RowParallel, local_parallel
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import Dictionary, take
from causeway.engine.dictionary.finite import check_features
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import BoundTap, TapSpec, bind_tap
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.forward import causal_pass, check_rows
from causeway.engine.model.transformer import Transformer

ROWS = 16
Features = Dictionary | CrossLayerTranscoder


@dataclasses.dataclass(frozen=True)
class LayerFeatures:
    """One layer's features of all prompts.

    Attributes:
        layer: model layer. ids, values: the largest of each sample, 0 where fewer are active. any, mean, strength: see
            the module's docstring. active_any: features active at one chosen token at least, of each prompt.
            active_mean: features active a chosen token, of each prompt.
    """

    layer: int
    ids: Int[np.ndarray, "n k"]
    values: Float[np.ndarray, "n k"]
    any: Float[np.ndarray, " F"]
    mean: Float[np.ndarray, " F"]
    strength: Float[np.ndarray, " F"]
    active_any: Int[np.ndarray, " prompts"]
    active_mean: Float[np.ndarray, " prompts"]


def extract_features(
    transformer: Transformer,
    dictionary: Features,
    prompts: Sequence[Sequence[int]],
    positions: Positions = Positions(5),  # noqa: B008 (immutable)
    *,
    top_k: int = 50,
    rows: int = ROWS,
    parallel: RowParallel | None = None,
    full: Mapping[int, np.ndarray] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[LayerFeatures]:
    """The features of every layer of a stack, or of a transcoder that crosses layers.

    Args:
        prompts: token ids.
        positions: the tokens looked at.
        top_k: k.
        rows: rows of a pass, per device; part of what fixes the bits.
        parallel: devices the rows are spread over (default: one).
        full: layer -> an array [n, F] to be filled with all values.
        progress: called with (prompts done, prompts in all) after each pass.

    Raises:
        ValueError: before anything is compiled, for a prompt without a chosen token or longer than the context, k
            outside 1..F, or dictionaries of another width or of layers not there.
        NotFiniteError: a prompt's pass, or a feature, is not all numbers.
    """
    check_request(transformer, dictionary, prompts, positions, top_k, rows)
    starts = sample_starts(samples_of(prompts, positions), len(prompts))
    parallel = parallel or local_parallel(1)
    sums = {
        layer: _Sums(dictionary.num_features, len(prompts), starts[-1], top_k) for layer in dictionary.config.layers
    }
    reader = _Reader(parallel, parallel.replicate(transformer), parallel.replicate(dictionary), positions, top_k, rows)
    done = 0
    for chosen, width in _passes(prompts, rows * parallel.count, transformer.config.max_position):
        for layer, part, there in reader.read([prompts[i] for i in chosen], chosen, width, full is not None):
            places = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in chosen])
            sums[layer].add(part, there, chosen, places)
            if full is not None:
                full[layer][places] = part["f"][there]
        done += len(chosen)
        if progress:
            progress(done, len(prompts))
    return [total.finished(layer) for layer, total in sums.items()]


def samples_of(prompts: Sequence[Sequence[int]], positions: Positions) -> Int[np.ndarray, "n 2"]:
    """Prompt number and position of every sample."""
    chosen = [positions.chosen(len(prompt)) for prompt in prompts]
    owners = np.repeat(np.arange(len(chosen)), [len(places) for places in chosen])
    return np.stack([owners, np.concatenate([np.zeros(0, int), *chosen])], axis=1)


def sample_starts(samples: Int[np.ndarray, "n 2"], prompts: int) -> Int[np.ndarray, " prompts+1"]:
    """Where each prompt's samples begin; the last entry is n, the number of all."""
    return np.searchsorted(samples[:, 0], np.arange(prompts + 1))


class _Sums:
    """What has been read of a layer so far."""

    def __init__(self, features: int, prompts: int, samples: int, k: int):
        self.ids, self.values = np.zeros((samples, k), np.int32), np.zeros((samples, k), np.float32)
        self.totals = {name: np.zeros(features) for name in ("any", "mean", "strength")}
        self.active_any, self.active_mean = np.zeros(prompts, int), np.zeros(prompts)

    def add(
        self, part: Mapping[str, np.ndarray], there: Bool[np.ndarray, "B S"], chosen: np.ndarray, places: np.ndarray
    ) -> None:
        self.ids[places], self.values[places] = part["ids"][there], part["values"][there]
        for name, total in self.totals.items():
            for of_device in part[name]:
                total += of_device
        self.active_any[chosen] = part["active_any"][: len(chosen)]
        self.active_mean[chosen] = part["active_mean"][: len(chosen)]

    def finished(self, layer: int) -> LayerFeatures:
        shares = {name: total / len(self.active_any) for name, total in self.totals.items()}
        return LayerFeatures(layer, self.ids, self.values, **shares, active_any=self.active_any,
                             active_mean=self.active_mean)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Reader:
    """What stays the same from pass to pass."""

    parallel: RowParallel
    transformer: Transformer
    dictionary: Features
    positions: Positions
    k: int
    rows: int

    def read(
        self, batch: Sequence[Sequence[int]], numbers: Int[np.ndarray, " n"], width: int, full: bool
    ) -> Iterator[tuple[int, dict[str, np.ndarray], Bool[np.ndarray, "B S"]]]:
        """(layer, its part, which samples are there) of up to rows x devices prompts, one layer at a time.

        Raises:
            NotFiniteError: naming a prompt by its number from 1 on, layer and site.
        """
        config, devices = self.dictionary.config, self.parallel.count
        count, size = self.rows * devices, self.positions.width(width)
        tokens, lengths = np.zeros((count, width), np.int32), np.ones(count, np.int32)
        places, there = np.zeros((count, size), np.int32), np.zeros((count, size), bool)
        for row, prompt in enumerate(batch):
            found = self.positions.chosen(len(prompt))
            tokens[row, : len(prompt)], lengths[row] = prompt, len(prompt)
            places[row, : len(found)], there[row, : len(found)] = found, True
        own = [
            self.parallel.split(a.reshape(devices, self.rows, *a.shape[1:])) for a in (tokens, lengths, places, there)
        ]
        tap = bind_tap(TapSpec(config.stream, "raw", config.layers), None)
        streams, finite = self.parallel.program(_streams)((self.transformer, tap), tuple(own[:3]))
        check_rows(finite, self.transformer, tokens, lengths, [f"prompt {number + 1}" for number in numbers])
        for index, layer in enumerate(config.layers):
            shared = (self.dictionary, self.parallel.replicate(np.int32(index)))
            part = self.parallel.program(_features, k=self.k, full=full)(shared, (streams, own[3]))
            part = {n: _joined(n, np.asarray(a)) for n, a in part.items()}
            check_features(
                part["strength"].sum(axis=0), np.arange(self.dictionary.num_features), layer, self.dictionary
            )
            yield layer, part, there


def _joined(name: str, values: Float[np.ndarray, "devices ..."]) -> np.ndarray:
    """Rows of all devices one after another; sums over rows stay apart, one a device."""
    return values if name in ("any", "mean", "strength") else values.reshape(-1, *values.shape[2:])


def _streams(
    shared: tuple[Transformer, BoundTap], own: tuple[Int[Array, "B T"], Int[Array, " B"], Int[Array, "B S"]]
) -> tuple[Float[Array, "P B S D"], Bool[Array, " B"]]:
    """What the dictionaries read at the chosen positions, and whether each row's pass gave numbers."""
    (transformer, tap), (tokens, lengths, places) = shared, own
    out = causal_pass(transformer, tokens, Instruments(taps=(tap,)), lengths)
    values = jnp.asarray(out.records[0].values)
    values = values.reshape(*values.shape[:3], -1)
    return values[:, jnp.arange(len(tokens))[:, None], places], jnp.all(out.finite, axis=1)


def _features(
    shared: tuple[Features, Int[Array, ""]], own: tuple[Float[Array, "P B S D"], Bool[Array, "B S"]], *, k: int,
    full: bool,
) -> dict[str, Array]:  # fmt: skip
    """One layer's part; encoded in float32 or better whatever the model computes in."""
    (dictionary, index), (streams, there) = shared, own
    encode: Callable[[Array], Array]
    if isinstance(dictionary, CrossLayerTranscoder):
        encode = partial(dictionary.encode, index)
    else:
        encode = take(dictionary, index).encode

    def of_prompt(row: tuple[Float[Array, "S D"], Bool[Array, " S"]]) -> dict[str, Array]:
        x, mask = row
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        f = encode(x)
        values, ids = jax.lax.top_k(f, k)
        on, count = (f != 0) & mask[:, None], jnp.maximum(jnp.sum(mask), 1)
        # Behind a barrier, for by a number the compiler divides on one device and multiplies by its inverse on several.
        counts = jax.lax.optimization_barrier(jnp.full(f.shape[1], count, f.dtype))
        share, strength = jnp.sum(on, axis=0) / counts, jnp.sum(jnp.where(on, f, 0), axis=0) / counts
        out = {"ids": ids, "values": values, "any": jnp.any(on, axis=0), "mean": share, "strength": strength}
        active = {"active_any": jnp.sum(jnp.any(on, axis=0)), "active_mean": jnp.sum(on) / count}
        return out | active | ({"f": f} if full else {})

    # Row by row: one [S, F] at a time, and a top-k of a matrix, which is the fast one.
    out = jax.lax.map(of_prompt, (streams[index], there))
    return out | {name: jnp.sum(out[name], axis=0) for name in ("any", "mean", "strength")}


def _passes(
    prompts: Sequence[Sequence[int]], rows: int, max_position: int
) -> Iterator[tuple[Int[np.ndarray, " n"], int]]:
    """(prompt numbers, padded length) of each pass: prompts of one bucket, in the order given."""
    widths = np.array([min(bucket_width(len(prompt)), max_position) for prompt in prompts])
    for width in np.unique(widths):
        members = np.flatnonzero(widths == width)
        for start in range(0, len(members), rows):
            yield members[start : start + rows], int(width)


def check_request(
    transformer: Transformer,
    dictionary: Any,
    prompts: Sequence[Sequence[int]],
    positions: Positions,
    k: int,
    rows: int = ROWS,
) -> None:
    """Refuse what `extract_features` cannot do, before anything is compiled.

    Raises:
        ValueError: see `extract_features`.
    """
    if not isinstance(dictionary, Features):
        raise ValueError(f"dictionary: got a {type(dictionary).__name__}; features need a stack that is in memory")
    if not prompts or rows < 1:
        raise ValueError(f"prompts, rows: got {len(prompts)} prompts, {rows} rows a pass; needs at least one of each")
    if not 1 <= k <= dictionary.num_features:
        raise ValueError(f"top_k: got {k}; the dictionaries have {dictionary.num_features} features, so 1 to that many")
    config, longest = transformer.config, transformer.config.max_position
    for number, prompt in enumerate(prompts, start=1):
        try:
            positions.check(len(prompt))
        except ValueError as error:
            raise ValueError(f"prompt {number}: {error}") from None
        if len(prompt) > longest:
            raise ValueError(f"prompt {number}: {len(prompt)} tokens, but the context is {longest}; shorten it")
        if not 0 <= min(prompt) <= max(prompt) < config.vocab_size:
            ids = f"ids {min(prompt)} to {max(prompt)}"
            raise ValueError(f"prompt {number}: {ids}, but the vocabulary has 0..{config.vocab_size - 1}")
    outside = [layer for layer in dictionary.config.layers if not 0 <= layer < config.num_layers]
    if outside:
        raise ValueError(f"dictionary: layer {outside[0]}, but the model has layers 0..{config.num_layers - 1}")
    stream = dictionary.config.stream
    width = config.width(stream)
    if width != dictionary.d_in:
        raise ValueError(
            f"dictionary: reads width {dictionary.d_in}, but {stream} of this model has width {width}; "
            "use dictionaries of this model"
        )
