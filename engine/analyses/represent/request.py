"""`cw.represent`: the stream at the output position of each prompt, asked for in a notebook."""

from collections.abc import Mapping, Sequence

from causeway.engine import scalars
from causeway.engine.analyses.evaluate.final_answers import continuations_of
from causeway.engine.analyses.evaluate.request import pair_of
from causeway.engine.analyses.represent.labels import answerable
from causeway.engine.analyses.represent.represent import represented
from causeway.engine.analyses.represent.streams import output_position, represented_place
from causeway.engine.calls.continuations import written
from causeway.engine.model.handle import Model, Prompt, check_model
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.reading.passes import ROWS
from causeway.engine.representations import Representations


def represent(
    model: Model,
    prompts: Sequence[Prompt | tuple[str, str, str] | PromptRecord],
    *,
    stream: str = "final_norm",
    position: str = "last",
    max_new_tokens: int = 0,
    batch_rows: int = ROWS,
) -> Representations:
    """The stream at one token of each prompt, and whether the model answers it rightly.

    Args:
        model: a loaded model.
        prompts: (prompt, right answer, wrong answer) as `evaluate` takes them; texts or token ids alone, which have
            no labels; or prompt records.
        stream: final_norm, where directions of logits live, or resid_post of a layer, as resid_post.3.
        position: last, the last token of each prompt; or a place of one token by number or name, as -2 or
            '"a text".last'.
        max_new_tokens: also write on, so many tokens at most; records with the field `final_answer` are labelled by
            what is written.
        batch_rows: prompts of a pass.

    Returns:
        Vectors [P, D], raw, and the prompts' records with margin (nats), correct and more among their fields.

    Raises:
        ValueError: something that is no prompt, answers that cannot be scored, another stream, or a position that a
            prompt does not have.
        NotFiniteError: a prompt's pass is not all numbers.
    """
    check_model(model)
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Sequence) or not prompts:
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs a list of (prompt, right, wrong), or of texts")
    place = represented_place(model, stream)
    rows = scalars.integer(batch_rows, "batch_rows", 1)
    listed = [answerable(model, prompt_record(number, prompt)) for number, prompt in enumerate(prompts)]
    positions = [output_position(model, prompt, position) for prompt in listed]
    said = None
    if most := scalars.integer(max_new_tokens, "max_new_tokens"):
        said = written(continuations_of(model, [prompt.record for prompt in listed], most), None)
    return represented(model, listed, positions, place, written=said, batch_rows=rows)


def prompt_record(number: int, prompt: Prompt | tuple[str, str, str] | PromptRecord) -> PromptRecord:
    """A prompt of any of the forms that `represent` takes, as a record."""
    name = f"prompt {number}"
    if isinstance(prompt, PromptRecord):
        return prompt
    if isinstance(prompt, str):
        return PromptRecord(prompt, id=name)
    if isinstance(prompt, list | tuple) and any(isinstance(part, str) for part in prompt):
        return pair_of(prompt, name)
    ids = scalars.integers(prompt, f"{name}: token id")
    if ids.ndim != 1 or not ids.size:
        raise ValueError(f"{name}: got ids of shape {ids.shape}; needs the token ids of one prompt")
    return PromptRecord("", tokens=tuple(ids.tolist()), id=name)
