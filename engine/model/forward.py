"""One forward pass over whole sequences: `run`.

The blocks are one `lax.scan` over their parameters. Edits and taps ride along as data: the layer index is
traced, so a batch may edit another layer in every row. From 512 tokens on, attention patterns are formed only where
something reads or changes them. Cost: one causal pass of B rows of T tokens, plus 2 D F per token and layer for each
full encode asked for.

Records of this pass: values are [P, B, T, W] (raw attention patterns [P, B, H, T, S], heads [P, B, T, H, K]); `valid`
is [B, T]. Positions with no token (right padding) are invalid and their values zero.
"""

import dataclasses
import functools
import operator
from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.gathered import to_host
from causeway.engine.intervention.changes import EditReport
from causeway.engine.intervention.edges import Edges
from causeway.engine.intervention.instruments import Instruments, Observer
from causeway.engine.intervention.taps import Record
from causeway.engine.model.attention import attend_sequence, blank, causal_mask, window_of
from causeway.engine.model.block import apply_block, normed
from causeway.engine.model.finite import refuse, rows_finite, traced
from causeway.engine.model.long_attention import LONG, attend_long
from causeway.engine.model.refusals import check_taps
from causeway.engine.model.transformer import Transformer, scan_layers
from causeway.engine.precision import full_precision


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pass:
    """What one forward pass returns.

    logits: [B, T, V], accumulation dtype; [B, 1, V] where the last token's alone were asked for, [B, 0, V] where none
    were. finite: [B, T], whether a token's last stream and what the taps read of it are numbers (true of padding); the
    logits, which not all callers form, are not looked at. records: one a tap. edits: one report [B, T, E] an edit.
    cache: keys and values of all layers, [L, B, T, G, K] each; empty unless asked for.
    """

    logits: Float[Array, "B _ V"]
    finite: Bool[Array, "B T"]
    records: tuple[Record, ...] = ()
    edits: tuple[EditReport, ...] = ()
    cache: tuple[Float[Array, "L B T G K"], ...] = ()


# Of which tokens logits are formed: all of them, each row's last, or none.
LogitsOf = Literal["all", "last"] | None


def next_token_logits(transformer: Transformer, tokens: Int[Array, "B T"]) -> Float[Array, "B T V"]:
    """Logits of a plain causal pass; differentiable in the transformer."""
    return run(transformer, tokens).logits


def causal_pass(
    transformer: Transformer,
    tokens: Int[Array, "B T"],
    instruments: Instruments = Instruments(),  # noqa: B008 (immutable)
    lengths: Int[Array, " B"] | None = None,
    keep_cache: bool = False,
    logits_of: LogitsOf = "all",
) -> Pass:
    """Run token sequences, right-padded to T; `lengths` gives each row's number of tokens (default: all T).

    Padding is never attended to by a token before it, so it cannot change a valid result, be it finite or not. A
    program to build on: who runs it looks at `Pass.finite` (`run` does).

    Raises:
        ValueError: a tap of a layer that the model lacks.
    """
    config, numerics = transformer.config, transformer.numerics
    check_taps(instruments.taps, config)
    length = tokens.shape[1]
    positions = jnp.arange(length)[None]
    valid = _valid(tokens, lengths)

    def body(below, scanned):
        (x, carried), (block, index) = below, scanned
        observe = Observer(instruments, index, positions, valid, carried)
        cache = ()

        def attend(q, k, v):
            nonlocal cache
            v = v if lengths is None else blank(v, valid)
            window = window_of(config, index)
            cache = (k, v) if keep_cache else ()
            if length >= LONG and not observe.needs_patterns:
                return attend_long(q, k, v, window, config, numerics)
            mask = causal_mask(length, window)
            edges = Edges(positions, mask)
            return attend_sequence(q, k, v, mask, config, numerics, lambda stream, p: observe(stream, p, edges))

        x = apply_block(block, index, x, positions, config, attend, observe)
        return (x, observe.carried), (observe.readings, observe.reports, cache)

    first = Observer(instruments, 0, positions, valid)
    x = first("embed", transformer.embed(tokens, positions))
    below = x, instruments.carried(x)
    (x, _), (readings, reports, cache) = scan_layers(body, below, transformer.blocks)
    last = Observer(instruments, config.num_layers, positions, valid)
    normalised = last("final_norm", normed(transformer.final_norm, "final_scale", x, last))
    logits = _logits(transformer, normalised, last, lengths, logits_of)
    records = _records(instruments, readings, first.readings | last.readings, valid)
    finite = ~valid | (rows_finite(normalised) & _read_finite(instruments, records))
    return Pass(logits, finite, records, _total(instruments, reports, first.reports | last.reports), cache)


def _logits(
    transformer: Transformer, normalised: Float[Array, "B T D"], last: Observer, lengths: Int[Array, " B"] | None,
    logits_of: LogitsOf,
) -> Float[Array, "B _ V"]:  # fmt: skip
    """Logits of the tokens they are asked of; a tap or an edit of the logits forms them all."""
    instruments, form = last.instruments, transformer.logits
    met = {tap.spec.stream for tap in instruments.taps} | {bound.edit.spec.stream for bound in instruments.edits}
    if logits_of == "all" or "logits" in met:
        normalised, form = last("logits", transformer.logits(normalised)), lambda x: x
    if logits_of == "all":
        return normalised
    batch, length = normalised.shape[:2]
    places = jnp.full(batch, length) - 1 if lengths is None else lengths - 1
    chosen = places[:, None] if logits_of == "last" else jnp.zeros((batch, 0), int)
    return form(jnp.take_along_axis(normalised, chosen[..., None], axis=1))


def _read_finite(instruments: Instruments, records: tuple[Record, ...]) -> Bool[Array, "B T"] | Literal[True]:
    """Whether what feature and projection taps read is finite; a stream read raw tells by what follows from it."""
    found = [
        jnp.all(jnp.isfinite(record.values), axis=(0, 3))
        for tap, record in zip(instruments.taps, records, strict=True)
        if tap.spec.reader != "raw"
    ]
    return functools.reduce(operator.and_, found, True)


def _valid(tokens: Int[Array, "B T"], lengths: Int[Array, " B"] | None) -> Bool[Array, "B T"]:
    if lengths is None:
        return jnp.ones(tokens.shape, bool)
    return jnp.arange(tokens.shape[1]) < lengths[:, None]


def _records(instruments: Instruments, readings: dict, once: dict, valid: Bool[Array, "B T"]) -> tuple[Record, ...]:
    records = []
    for i, tap in enumerate(instruments.taps):
        if i in once:
            values, ids = jax.tree.map(lambda a: a[None], once[i])
        else:
            values, ids = jax.tree.map(operator.itemgetter(np.array(tap.spec.layers)), readings[i])
        # Patterns are [P, B, H, T, S]: the token axis of every other stream is the third.
        token_axis = 3 if tap.spec.stream == "attn_pattern" else 2
        shape = [1] * values.ndim
        shape[1], shape[token_axis] = valid.shape
        records.append(Record(jnp.where(valid.reshape(shape), values, 0), valid, ids))
    return tuple(records)


def check_rows(
    finite: AnyArray, transformer: Transformer, tokens: Int[np.ndarray, "B T"], lengths: Int[np.ndarray, " B"],
    names: Sequence[str],
) -> None:  # fmt: skip
    """Refuse rows whose pass does not give numbers; those after the last name only fill the batch.

    Args:
        finite: [B] in any shape, from the program that ran them. names: of the rows, for the error.

    Raises:
        NotFiniteError: naming row, layer and site.
    """
    broken = ~to_host(finite).reshape(-1)
    broken[len(names) :] = False
    if broken.any():
        rows = np.flatnonzero(broken)[:1]
        again = partial(full_precision(causal_pass), transformer, jnp.asarray(tokens[rows]), lengths=lengths[rows])
        raise traced(again).of(names[rows[0]])


def _total(
    instruments: Instruments, reports: dict[int, EditReport], once: dict[int, EditReport]
) -> tuple[EditReport, ...]:
    """Reports summed over layers, or of a stream that comes once; an edit acts in one layer a slot."""

    def total(report: EditReport) -> EditReport:
        return EditReport(report.before.sum(0), report.after.sum(0), jnp.any(report.applied, 0))

    return tuple(once[i] if i in once else total(reports[i]) for i in range(len(instruments.edits)))


def judged_pass(
    transformer: Transformer, tokens: Array, instruments: Instruments, lengths: Array | None, keep_cache: bool = False,
    logits_of: LogitsOf = "all",
) -> tuple[Pass, Bool[Array, " B"]]:  # fmt: skip
    """`causal_pass`, and whether all of a row is numbers: a program to be compiled."""
    out = causal_pass(transformer, tokens, instruments, lengths, keep_cache, logits_of)
    formed = rows_finite(out.logits)
    formed = formed | ~_valid(tokens, lengths) if logits_of == "all" else formed
    return out, jnp.all(out.finite, axis=1) & jnp.all(formed, axis=1)


_run = jax.jit(full_precision(judged_pass), static_argnames=("keep_cache", "logits_of"))


def run(
    transformer: Transformer,
    tokens: Int[AnyArray, "B T"],
    instruments: Instruments = Instruments(),  # noqa: B008 (immutable)
    lengths: Int[AnyArray, " B"] | None = None,
    keep_cache: bool = False,
    logits_of: LogitsOf = "all",
) -> Pass:
    """`causal_pass`, compiled, and refused where it does not give numbers. Inside another program it only traces.

    Raises:
        NotFiniteError: naming row, layer and site; and see `causal_pass`.
    """
    tokens, lengths = jnp.asarray(tokens), None if lengths is None else jnp.asarray(lengths)
    out, finite = _run(transformer, tokens, instruments, lengths, keep_cache, logits_of)
    if not isinstance(finite, jax.core.Tracer) and not np.all(finite):
        refuse(partial(full_precision(causal_pass), transformer, tokens, instruments, lengths), ~finite)
    return out
