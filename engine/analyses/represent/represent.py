"""Representations of prompts with what the model answers to them: one reading of the stream, one of the answers."""

from collections.abc import Callable, Sequence

from causeway.engine.analyses.represent.labels import answer_fields, labelled, written_fields
from causeway.engine.analyses.represent.streams import Tokens, read_streams
from causeway.engine.calls.continuations import Continuation
from causeway.engine.devices import RowParallel
from causeway.engine.intervention.sites import Place
from causeway.engine.model.handle import Model
from causeway.engine.reading.job import Kept
from causeway.engine.reading.passes import ROWS
from causeway.engine.representations import Representations
from causeway.engine.tokenized_prompt import TokenizedPrompt


def no_folder(name: str) -> Kept | None:
    """Nothing is kept of a reading."""
    return None


def represented(
    model: Model,
    prompts: Sequence[TokenizedPrompt],
    positions: Sequence[int],
    place: Place,
    *,
    written: Sequence[Continuation] | None = None,
    tokens: Tokens | None = None,
    batch_rows: int = ROWS,
    parallel: RowParallel | None = None,
    kept: Callable[[str], Kept | None] = no_folder,
) -> Representations:
    """The stream at one position of each prompt, and the prompts with their labels.

    Args:
        prompts: with the tokens of their answers, where they have two (`labels.answerable`).
        positions: of each prompt, where it is read.
        place: of the stream (`streams.represented_place`).
        written: what the model writes to each prompt, where that is to be judged.
        tokens: called with each prompt's number and its stream at all tokens [T, D].
        kept: gives where one reading, by its name, is kept.

    Raises:
        ValueError: a prompt that cannot be read, or a final answer that is no number.
        NotFiniteError: a prompt's pass is not all numbers.
    """
    fields = written_fields(prompts, written)
    vectors = read_streams(
        model.transformer, prompts, positions, place, tokens=tokens, batch_rows=batch_rows, parallel=parallel,
        kept=kept("streams"),
    )  # fmt: skip
    answers = answer_fields(model, prompts, batch_rows=batch_rows, parallel=parallel, kept=kept("answers"))
    records = tuple(
        labelled(prompt.record, scored, said, {"position": position, "prompt_tokens": len(prompt.tokens)})
        for prompt, scored, said, position in zip(prompts, answers, fields, positions, strict=True)
    )
    return Representations(records, vectors, place.stream, place.layer, model.fingerprint)
