"""Log probabilities of answers by teacher forcing: log P(answer | prompt) = sum_i log P(t_i | prompt, t_1 .. t_{i-1}).

The two answers of a prompt are paths in a small tree. A row of a pass is the prompt and one path of inner tokens (the
tokens of an answer but its last), so one row scores both answers wherever one's inner tokens begin the other's: single
tokens, and numbers that differ in their last digit. Only answers that part earlier take a second row.

Rows are padded to the bucket of their length, and logits are formed at the scored positions alone, never at every
token. A row's result is a function of the row, its bucket and the rows of a pass: neither order nor neighbours change
it.

Shapes: B rows of a pass and device, T bucket, E scored tokens of a row, D stream, V vocabulary.
Cost: a forward pass of each row without its logits, and 2 D V E for those. Memory: [B, T, D] and [B, E, V].
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.analyses.prompts.prompt import BehaviourPrompt
from causeway.engine.devices import RowParallel, local_parallel
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import BoundTap, TapSpec, bind_tap
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.forward import causal_pass, check_rows
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import Transformer
from causeway.engine.outcome.divergence import first_divergence

ROWS = 16


@dataclasses.dataclass(frozen=True)
class AnswerPair:
    """Token ids of a prompt (as it is run) and its two answers, and how many first tokens the answers share."""

    prompt: tuple[int, ...]
    correct: tuple[int, ...]
    incorrect: tuple[int, ...]
    shared: int


@dataclasses.dataclass(frozen=True)
class _Row:
    """Tokens to run, and what to read: (position, token, answer) where answer 0 is the correct one."""

    tokens: tuple[int, ...]
    reads: tuple[tuple[int, int, int], ...]
    pair: int


def answer_pair(model: Model, prompt: BehaviourPrompt) -> AnswerPair:
    """The tokens of a prompt and its answers.

    Raises:
        ValueError: a prompt of no tokens, answers that never diverge or that merge with the prompt's end, or more
            tokens than the context holds.
    """
    name = prompt.id or repr(prompt.prompt[:40])
    try:
        ids = model.tokens(prompt.prompt)
        correct, incorrect = model.answer_tokens(prompt.prompt, (prompt.correct, prompt.incorrect))
        shared = first_divergence(ids, (correct, incorrect)).shared
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    longest, context = len(ids) + max(len(correct), len(incorrect)) - 1, model.config.max_position
    if longest > context:
        raise ValueError(
            f"{name}: {longest} tokens with its longer answer, but the context of {model.name} is {context}; shorten it"
        )
    return AnswerPair(tuple(ids), tuple(correct), tuple(incorrect), shared)


def answer_log_probabilities(
    transformer: Transformer,
    pairs: Sequence[AnswerPair],
    *,
    rows: int = ROWS,
    parallel: RowParallel | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Float[np.ndarray, "N 2"]:
    """Log probability of both answers of each pair, the correct one first; nats, summed in float64.

    Args:
        rows: rows of a pass, per device; part of what fixes the bits.
        parallel: devices the rows are spread over (default: one).
        progress: called with (rows done, rows in all) after each pass.

    Raises:
        ValueError: fewer than one row.
        NotFiniteError: a log probability is not a number; it names the prompt by its number from 1 on, layer and site.
    """
    if rows < 1:
        raise ValueError(f"rows: got {rows}; a pass needs at least one row")
    parallel = parallel or local_parallel(1)
    tap = bind_tap(TapSpec("final_norm", "raw", (transformer.config.num_layers,)), None)
    shared = (parallel.replicate(transformer), tap)
    listed = [row for index, pair in enumerate(pairs) for row in _rows(pair, index)]
    out, done = np.zeros((len(pairs), 2)), 0
    for batch, width, reads in _passes(listed, rows * parallel.count, transformer.config.max_position):
        arrays = _arrays(batch, rows * parallel.count, width, reads)
        own = tuple(parallel.split(a.reshape(parallel.count, rows, -1)) for a in arrays)
        found = np.asarray(parallel.program(_read)(shared, own), np.float64).reshape(rows * parallel.count, -1)
        names = [f"prompt {row.pair + 1}" for row in batch]
        check_rows(np.asarray(np.isfinite(found).all(axis=1)), transformer, arrays[0], arrays[1][:, 0], names)
        for row, values in zip(batch, found, strict=False):
            for value, (_, _, answer) in zip(values, row.reads, strict=False):
                out[row.pair, answer] += value
        done += len(batch)
        if progress:
            progress(done, len(listed))
    return out


def _rows(pair: AnswerPair, index: int) -> list[_Row]:
    """One row where one answer's inner tokens begin the other's, else one for each answer."""
    answers = (pair.correct, pair.incorrect)
    inner = [answer[:-1] for answer in answers]
    longer = int(len(inner[1]) > len(inner[0]))
    reads = [tuple((len(pair.prompt) - 1 + i, t, a) for i, t in enumerate(answers[a])) for a in (0, 1)]
    if inner[longer][: len(inner[1 - longer])] == inner[1 - longer]:
        return [_Row(pair.prompt + inner[longer], reads[0] + reads[1], index)]
    return [_Row(pair.prompt + inner[a], reads[a], index) for a in (0, 1)]


def _passes(rows: Sequence[_Row], count: int, context: int) -> Iterator[tuple[list[_Row], int, int]]:
    """(rows, width, reads) of each pass: rows of one bucket, in the order given."""
    shapes: dict[tuple[int, int], list[_Row]] = {}
    for row in rows:
        shape = min(bucket_width(len(row.tokens)), context), 1 << (len(row.reads) - 1).bit_length()
        shapes.setdefault(shape, []).append(row)
    for (width, reads), members in sorted(shapes.items()):
        for start in range(0, len(members), count):
            yield members[start : start + count], width, reads


def _arrays(batch: Sequence[_Row], count: int, width: int, reads: int) -> tuple[np.ndarray, ...]:
    """Tokens [count, width], lengths [count, 1], and where and what is read [count, reads]; dummies repeat a row."""
    tokens, lengths = np.zeros((count, width), np.int32), np.zeros((count, 1), np.int32)
    where, what = np.zeros((count, reads), np.int32), np.zeros((count, reads), np.int32)
    for i in range(count):
        row = batch[min(i, len(batch) - 1)]
        tokens[i, : len(row.tokens)], lengths[i] = row.tokens, len(row.tokens)
        where[i, : len(row.reads)] = [position for position, _, _ in row.reads]
        what[i, : len(row.reads)] = [token for _, token, _ in row.reads]
    return tokens, lengths, where, what


def _read(
    shared: tuple[Transformer, BoundTap],
    own: tuple[Int[Array, "B T"], Int[Array, "B 1"], Int[Array, "B E"], Int[Array, "B E"]],
) -> Float[Array, "B E"]:
    """Log probability of the tokens read."""
    (transformer, tap), (tokens, lengths, where, what) = shared, own
    # The pass's own logits are not used, so the compiler drops them.
    stream = causal_pass(transformer, tokens, Instruments(taps=(tap,)), lengths[:, 0]).records[0].values[0]
    logits = transformer.logits(jnp.take_along_axis(stream, where[:, :, None], axis=1))
    chosen = jnp.take_along_axis(logits, what[:, :, None], axis=2)[..., 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)
