"""What a patching sweep costs, from shapes and the compiler's analysis: none of its units is run (exact outcomes take
the clean pass of the longest prompt, whose arrays are their program's arguments).

The longest prompt's bucket stands for all prompts, and rollouts count as running to their last token, so operations
are an upper bound; time is operations over the rate of matrix products measured here, a lower bound for what is left.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.intervention.edits import EMPTY
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.cache import Segment, prefill
from causeway.engine.model.decode import Own, Shared, decode_segment
from causeway.engine.model.decode import Rows as DecodeRows
from causeway.engine.outcome.exact import Background, edited_answers, start_layer
from causeway.engine.sweep.cost import ProgramCost, program_cost
from causeway.engine.tokenized_prompt import TokenizedPrompt

Calls = Iterator[tuple[ProgramCost, int]]


def program_calls(sweep: PatchSweep) -> Calls:
    """Each program's cost and how often the whole plan calls it (per device)."""
    prompt = max(sweep.prompts, key=lambda p: len(p.tokens))
    yield from _exact_calls(sweep, prompt) if sweep.settings.outcome == "exact" else _sampled_calls(sweep, prompt)


def _edits(sweep: PatchSweep, prompt: TokenizedPrompt, layer: int | None = None):
    """One bucket's edits."""
    rows = sweep.rows if layer is None else sweep.rows.take(sweep.rows.layer == layer)
    return sweep.edits(prompt, rows.take(np.resize(np.arange(len(rows)), sweep.settings.rows)))


def _exact_calls(sweep: PatchSweep, prompt: TokenizedPrompt) -> Calls:
    clean = sweep.clean(prompt)
    background = Background(sweep.model.transformer, sweep.stack, clean)
    program = jax.jit(edited_answers)
    for layer in np.unique(sweep.rows.layer[sweep.rows.layer != EMPTY]):
        edits = _edits(sweep, prompt, int(layer))
        start = start_layer(edits, clean)
        trips = sweep.model.config.num_layers - start
        cost = program_cost(program, background, (edits, jnp.int32(start)), while_trips=trips)
        buckets = math.ceil(int((sweep.rows.layer == layer).sum()) / sweep.settings.rows)
        yield cost, buckets * len(sweep.prompts)


def _sampled_calls(sweep: PatchSweep, prompt: TokenizedPrompt) -> Calls:
    s, transformer = sweep.settings, sweep.model.transformer
    shared_length = min(sweep.first_edit(prompt), len(prompt.tokens) - 1)
    width, scalar = bucket_width(max(shared_length, 1)), _shape(())
    prefix = jax.eval_shape(prefill, transformer, _shape((width,)), scalar)
    taps = s.recording.taps(sweep.stack, sweep.model.config.num_layers)
    shared = Shared(transformer, sweep.stack, prefix, taps, scalar, scalar)
    ids = _shape((s.rows,))
    rows = DecodeRows(ids, _shape((s.rows,), jnp.bool_), _shape((s.rows, 2), jnp.uint32), ids)
    calls = math.ceil(len(sweep.rows) / s.rows) * len(sweep.prompts)
    past: tuple[Segment, ...] = ()
    for length in s.segments:
        own = Own(rows, _edits(sweep, prompt), past, _shape((length, s.rows)))
        segment = partial(
            decode_segment, length=length, sampling=s.sampling,
            recomputed=s.semantics == "recomputed",
        )  # fmt: skip
        program = jax.jit(segment)
        past = (*past, jax.eval_shape(program, shared, own)[1])
        yield program_cost(program, shared, own), calls


def _shape(shape: tuple[int, ...], dtype: Any = jnp.int32) -> Any:
    """Stands where an array would."""
    return jax.ShapeDtypeStruct(shape, dtype)
