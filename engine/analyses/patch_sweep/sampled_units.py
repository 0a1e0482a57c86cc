"""A unit of a sweep with the sampled outcome: rollouts of many edits of one prompt, parsed.

All arms of a (prompt, trial) draw with the same noise. Families that need a whole dictionary run one layer at a time.

A unit may also be given the tokens that its rows go on with (`forced_unit`): the same programs then take these instead
of drawing, so a row without an edit gives what it gave when it drew them, to the bit.

Shapes: R rows, N steps.
"""

import dataclasses

import jax
import numpy as np
from jaxtyping import Int

from causeway.engine.analyses.patch_sweep.design import Rows
from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.analyses.patch_sweep.trial_table import row_name, what_was_done
from causeway.engine.frozen.record import held_of_prompt
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.generate import generate_rows
from causeway.engine.model.rollouts import GOES_ON, Ends, Generation
from causeway.engine.model.segments import Layout as Widths
from causeway.engine.model.stops import Stops
from causeway.engine.outcome.parsed import Parsed
from causeway.engine.outcome.parsers import match_tokens, parser
from causeway.engine.sweep.layout import UnitResult
from causeway.engine.tokenized_prompt import TokenizedPrompt


def sampled_unit(sweep: PatchSweep, index: int) -> UnitResult:
    """Compute one unit."""
    prompt, chosen = sweep.part(index)
    rows = sweep.rows.take(chosen)
    generation = _generate(sweep, index, rows, None)
    columns = _done(sweep, index, generation) | _outcome(sweep, prompt, generation)
    return UnitResult(columns, sweep.settings.recording.collect(generation))


def forced_unit(sweep: PatchSweep, index: int, continuations: Int[np.ndarray, "trials N"]) -> UnitResult:
    """Compute one unit whose rows take the tokens of their trial, -1 after its end, instead of drawing any."""
    chosen = sweep.part(index)[1]
    rows = sweep.rows.take(chosen)
    generation = _generate(sweep, index, rows, continuations)
    columns = _done(sweep, index, generation) | {"tokens": _token_ids(generation)}
    return UnitResult(columns, sweep.settings.recording.collect(generation))


def _done(sweep: PatchSweep, index: int, generation: Generation) -> dict:
    """What was done to each row, and where its recording lies."""
    prompt, chosen = sweep.part(index)
    done = what_was_done(
        prompt, sweep.rows.take(chosen), generation.before[0], generation.after[0], generation.applied[0]
    )
    return done | {"array_row": sweep.array_rows(index)}


def _generate(
    sweep: PatchSweep, index: int, rows: Rows, continuations: Int[np.ndarray, "trials N"] | None
) -> Generation:
    if not sweep.edit_spec.one_layer(sweep.stack):
        return _generate_together(sweep, index, rows, continuations)
    layers = np.unique(rows.layer)
    parts = [np.flatnonzero(rows.layer == layer) for layer in layers]
    results = [_generate_together(sweep, index, rows.take(part), continuations) for part in parts]
    back = np.argsort(np.concatenate(parts))
    fields = {f.name: getattr(results[0], f.name) for f in dataclasses.fields(Generation)}
    joined = jax.tree.map(lambda *a: np.concatenate(a)[back], *[_arrays(result) for result in results])
    return Generation(**fields | joined)


def _arrays(generation: Generation) -> dict:
    names = ("tokens", "records", "before", "after", "applied")
    return {name: getattr(generation, name) for name in names}


def _generate_together(
    sweep: PatchSweep, index: int, rows: Rows, continuations: Int[np.ndarray, "trials N"] | None
) -> Generation:
    s, prompt = sweep.settings, sweep.part(index)[0]
    transformer, dictionary = sweep.placed
    forced = None if continuations is None else continuations[rows.trial]
    stops = Stops(s.sampling.stop_tokens, s.stop_texts).ends(sweep.model, prompt.tokens)
    try:
        return generate_rows(
            transformer,
            prompt.tokens,
            trials=rows.trial,
            layout=Widths(sweep.bucket(index), s.segments),
            sampling=s.sampling,
            seed=s.seed,
            prompt_id=prompt.number,
            edits=sweep.edits(prompt, rows),
            dictionary=dictionary,
            held=held_of_prompt(transformer, prompt.tokens, sweep.held, dictionary),
            taps=sweep.taps,
            recomputed=s.semantics == "recomputed",
            first_edit=sweep.first_edit(prompt),
            parallel=sweep.parallel,
            forced=forced,
            ends=stops if forced is None else _given_ends(forced),
        )
    except NotFiniteError as error:
        raise error.of(row_name(prompt, rows, error.row)) from None


def _given_ends(forced: Int[np.ndarray, "R N"]) -> Ends:
    """Rows end where the tokens do that they are given: a forced token never ends its row."""
    lengths = (forced >= 0).sum(axis=1)
    return lambda tokens: np.where(lengths <= tokens.shape[1], lengths, GOES_ON)


def _token_ids(generation: Generation) -> list[list[int]]:
    return [row[row >= 0].tolist() for row in generation.tokens]


def _outcome(sweep: PatchSweep, prompt: TokenizedPrompt, generation: Generation) -> dict:
    """Action, amount, text and token ids of each row."""
    ids = _token_ids(generation)
    texts = [sweep.model.continuation(prompt.tokens, row) for row in ids]
    parsed = [_read(sweep, prompt, text, row) for text, row in zip(texts, ids, strict=True)]
    return {
        "action": [p.decision for p in parsed],
        "amount": [p.amount for p in parsed],
        "response": texts,
        "tokens": ids,
    }


def _read(sweep: PatchSweep, prompt: TokenizedPrompt, text: str, ids: list[int]) -> Parsed:
    """What a rollout means: by its tokens where the prompt's own answers are looked for, by its text otherwise."""
    if sweep.settings.parser == "answers":
        return match_tokens(ids, prompt.record.answers, prompt.answer_tokens)
    return parser(sweep.settings.parser)(text, prompt.record.answers, prompt.record.group)
