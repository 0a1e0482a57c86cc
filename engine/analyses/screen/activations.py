"""The screening pass: feature values of labelled prompts, streamed layer by layer into the groups' sums.

Prompts are run in passes of a fixed number of rows, padded to the bucket of their length. A pass reads the
dictionaries' stream of all their layers raw, [P, B, D] at the last prompt token; each layer is then encoded by itself,
[B, F], and goes straight into `GroupSums`. What a prompt contributes:

    last   the feature values at its last token
    mean   their mean over its tokens      (rows that repeat a prompt's tokens are not samples: one row a prompt)
    max    their greatest value over its tokens

mean and max leave out the tokens before `first`, which is where a begin-of-sequence token stands: its stream is of
another size than all others.

A prompt's values are a function of the prompt, the rows of a pass and its bucket, to the bit: neither the order of
the prompts nor their neighbours change them, and so they change the sums by float64 rounding alone.

Shapes: P dictionaries, B rows of a pass and device, T bucket, D stream, F features.
Memory: [P, B, T, D] inside a pass and [B, F] outside; [T, F] more for mean and max. Of [prompts, layers, F] only what
is not 0.
Cost: one forward pass a prompt, and 2 P D F operations (times T for mean and max).
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.analyses.screen.accumulate import UNSTRATIFIED, GroupSums
from causeway.engine.devices import RowParallel, local_parallel
from causeway.engine.dictionary.dictionary import Dictionary, check_stack, take
from causeway.engine.dictionary.finite import refuse_features
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import BoundTap, TapSpec, bind_tap
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.finite import all_finite
from causeway.engine.model.forward import causal_pass, check_rows
from causeway.engine.model.transformer import Transformer

Position = Literal["last", "mean", "max"]
POSITIONS: tuple[Position, ...] = ("last", "mean", "max")
ROWS = 16


@dataclasses.dataclass(frozen=True)
class LabelledTokens:
    """A prompt of the screen.

    Attributes:
        tokens: ids it is run as. group: the label compared. stratum: what is held fixed, if anything is.
        first: the first token that mean and max count.
    """

    tokens: tuple[int, ...]
    group: str
    stratum: str = UNSTRATIFIED
    first: int = 0


def group_sums(
    transformer: Transformer,
    dictionary: Dictionary,
    prompts: Sequence[LabelledTokens],
    groups: tuple[str, str],
    *,
    position: Position = "last",
    rows: int = ROWS,
    parallel: RowParallel | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> GroupSums:
    """Sums of both groups' feature values at every layer of the dictionaries.

    Args:
        dictionary: a stack, [P, ...]; its layers and stream say what is read.
        groups: two labels, the reference first.
        rows: rows of a pass, per device; part of what fixes the bits.
        parallel: devices the rows are spread over (default: one).
        progress: called with (prompts done, prompts in all) after each pass.

    Raises:
        ValueError: before anything is compiled, for a group with fewer than two prompts, a label that is no group, an
            empty prompt or one longer than the context, or dictionaries of another width or of layers not there.
        NotFiniteError: a prompt's pass, or a feature, is not all numbers.
    """
    sums = GroupSums(groups)
    check_groups([prompt.group for prompt in prompts], groups)
    _check(transformer, dictionary, prompts, position, rows)
    parallel = parallel or local_parallel(1)
    reader = _Reader(parallel, parallel.replicate(transformer), parallel.replicate(dictionary), position)
    done = 0
    for chosen, width in _passes(prompts, rows * parallel.count, transformer.config.max_position):
        batch = [prompts[i] for i in chosen]
        labels = [prompt.group for prompt in batch]
        strata = [prompt.stratum for prompt in batch]
        for layer, values in reader.read(batch, chosen, width, rows):
            sums.update(layer, values, labels, strata)
        done += len(batch)
        if progress:
            progress(done, len(prompts))
    return sums


def check_groups(labels: Sequence[str], groups: tuple[str, str]) -> None:
    """Refuse labels that cannot be compared.

    Raises:
        ValueError: a label that is no group, or a group with fewer than two prompts.
    """
    found = {label: labels.count(label) for label in sorted(set(labels))}
    listed = ", ".join(f"{label} ({count})" for label, count in found.items()) or "none"
    if unknown := sorted(set(found) - set(groups)):
        raise ValueError(f"prompts: label {unknown[0]!r} is not among the groups {groups}; relabel or drop its prompts")
    for group in groups:
        if found.get(group, 0) < 2:
            raise ValueError(
                f"groups: {group!r} has {found.get(group, 0)} prompts, and a comparison needs two or more; the labels "
                f"that came: {listed}"
            )


@dataclasses.dataclass(frozen=True)
class _Reader:
    """The two compiled programs of a pass, with what they share on all devices."""

    parallel: RowParallel
    transformer: Transformer
    dictionary: Dictionary
    position: Position

    def read(
        self, batch: Sequence[LabelledTokens], numbers: Int[np.ndarray, " n"], width: int, rows: int
    ) -> Iterator[tuple[int, Float[np.ndarray, "n F"]]]:
        """(layer, feature values) of up to rows x devices prompts, one layer at a time.

        Raises:
            NotFiniteError: naming a prompt by its number from 1 on, layer and site.
        """
        config, count = self.dictionary.config, len(batch)
        tap = bind_tap(TapSpec(config.stream, "raw", config.layers), None)
        # A pass that is not full repeats its last prompt, so that all passes of a bucket have one shape.
        full = [*batch, *[batch[-1]] * (rows * self.parallel.count - count)]
        tokens = np.zeros((len(full), width), np.int32)
        for row, prompt in enumerate(full):
            tokens[row, : len(prompt.tokens)] = prompt.tokens
        spans = np.array([(prompt.first, len(prompt.tokens)) for prompt in full], np.int32)
        own = tuple(self.parallel.split(a.reshape(self.parallel.count, rows, -1)) for a in (tokens, spans))
        program = self.parallel.program(_streams, last=self.position == "last")
        streams, finite = program((self.transformer, tap), own)
        check_rows(finite, self.transformer, tokens, spans[:, 1], [f"prompt {number + 1}" for number in numbers])
        for index, layer in enumerate(config.layers):
            shared = (self.dictionary, self.parallel.replicate(np.int32(index)))
            values = self.parallel.program(_features, position=self.position)(shared, (streams, own[1]))
            values = np.asarray(values).reshape(len(full), -1)[:count]
            if not all_finite(values):
                refuse_features(int(np.isfinite(values).all(axis=0).argmin()), layer, self.dictionary)
            yield layer, values


def _streams(
    shared: tuple[Transformer, BoundTap], own: tuple[Int[Array, "B T"], Int[Array, "B 2"]], *, last: bool
) -> tuple[Float[Array, "P B ..."], Bool[Array, " B"]]:
    """The stream of the tapped layers, [P, B, D] at the last token or [P, B, T, D], and whether rows gave numbers."""
    (transformer, tap), (tokens, spans) = shared, own
    out = causal_pass(transformer, tokens, Instruments(taps=(tap,)), spans[:, 1])
    values, finite = jnp.asarray(out.records[0].values), jnp.all(out.finite, axis=1)
    return (values[:, jnp.arange(len(tokens)), spans[:, 1] - 1] if last else values), finite


def _features(
    shared: tuple[Dictionary, Int[Array, ""]], own: tuple[Float[Array, "P B ..."], Int[Array, "B 2"]], *,
    position: Position,
) -> Float[Array, "B F"]:  # fmt: skip
    """One layer's feature values, one row a prompt; encoded in float32 or better whatever the model computes in."""
    (dictionary, index), (streams, spans) = shared, own
    encode = take(dictionary, index).encode
    x = streams[index]
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if position == "last":
        return encode(x)
    places = jnp.arange(x.shape[1])
    counted = (places >= spans[:, :1]) & (places < spans[:, 1:])

    def over_tokens(row: tuple[Array, Array]) -> Float[Array, " F"]:
        stream, mask = row
        # Every activation kind is zero or above, so what is not counted can be zero under either reduction.
        values = jnp.where(mask[:, None], encode(stream), 0)
        return values.max(axis=0) if position == "max" else values.sum(axis=0) / mask.sum().astype(values.dtype)

    # Row by row: one [T, F] at a time, and bits that do not depend on how many rows there are.
    return jax.lax.map(over_tokens, (x, counted))


def _passes(
    prompts: Sequence[LabelledTokens], rows: int, max_position: int
) -> Iterator[tuple[Int[np.ndarray, " n"], int]]:
    """(prompt numbers, padded length) of each pass: prompts of one bucket, in the order given."""
    widths = np.array([min(bucket_width(len(prompt.tokens)), max_position) for prompt in prompts])
    for width in np.unique(widths):
        members = np.flatnonzero(widths == width)
        for start in range(0, len(members), rows):
            yield members[start : start + rows], int(width)


def _check(
    transformer: Transformer, dictionary: Dictionary, prompts: Sequence[LabelledTokens], position: str, rows: int
) -> None:
    check_stack(dictionary, "screen")
    if position not in POSITIONS:
        raise ValueError(f"position: got {position!r}; needs one of {', '.join(POSITIONS)}")
    if rows < 1:
        raise ValueError(f"rows: got {rows}; a pass needs at least one row")
    config = transformer.config
    for number, prompt in enumerate(prompts, start=1):
        if not 0 <= prompt.first < len(prompt.tokens):
            raise ValueError(f"prompt {number}: {len(prompt.tokens)} tokens, none of which counts; give it more text")
        if len(prompt.tokens) > config.max_position:
            raise ValueError(
                f"prompt {number}: {len(prompt.tokens)} tokens, but the context is {config.max_position}; shorten it"
            )
    outside = [layer for layer in dictionary.config.layers if not 0 <= layer < config.num_layers]
    if outside:
        raise ValueError(f"dictionary: layer {outside[0]}, but the model has layers 0..{config.num_layers - 1}")
    tap = bind_tap(TapSpec(dictionary.config.stream, "raw", dictionary.config.layers), None)
    own = jax.ShapeDtypeStruct((1, 2), jnp.int32), jax.ShapeDtypeStruct((1, 2), jnp.int32)
    width = jax.eval_shape(lambda t, o: _streams((t, tap), o, last=False)[0], transformer, own).shape[-1]
    if width != dictionary.W_enc[...].shape[-2]:
        raise ValueError(
            f"dictionary: reads width {dictionary.W_enc[...].shape[-2]}, but {dictionary.config.stream} of this model "
            f"has width {width}; use dictionaries of this model"
        )
