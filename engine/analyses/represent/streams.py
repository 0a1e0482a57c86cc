"""The stream at the output position of each prompt, and on request at all of its tokens.

The output position is a token of the prompt itself, by default its last one: prompts are padded after it, and what
fills a pass is never read.

    final_norm      the last norm's output, its gain included: logits are its inner products with the unembedding
    resid_post.l    the stream after block l

Shapes: P prompts, T tokens, D model. Cost: one forward pass a prompt without its logits.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from causeway.engine.devices import RowParallel
from causeway.engine.intervention.sites import Place
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import Transformer
from causeway.engine.places import Places
from causeway.engine.reading.job import Kept, read_kept
from causeway.engine.reading.passes import ROWS, ReadRow, all_places, check_read, one_place
from causeway.engine.reading.reductions import Raw
from causeway.engine.tokenized_prompt import TokenizedPrompt

# Takes the number of a prompt and its stream [T, D].
Tokens = Callable[[int, Float[np.ndarray, "T D"]], None]


def represented_place(model: Model, name: str) -> Place:
    """A stream that representations are of, and its layer.

    Args:
        name: final_norm, resid_post.LAYER, or what another library calls them.

    Raises:
        ValueError: another stream, or resid_post without its layer.
    """
    found = model.place(name, "stream")
    if found.stream not in ("final_norm", "resid_post") or (found.stream == "resid_post") != (found.layer is not None):
        raise ValueError(f"stream: got {name!r}; needs final_norm, or resid_post of one layer, such as resid_post.0")
    return found


def output_position(model: Model, prompt: TokenizedPrompt, place: str) -> int:
    """Where a prompt is read: last, or a place of one token by number or name.

    Raises:
        ValueError: the prompt has no such place, or it is several tokens.
    """
    return Places.of(model, prompt.record, prompt.tokens).one(place)


def read_streams(
    transformer: Transformer,
    prompts: Sequence[TokenizedPrompt],
    positions: Sequence[int],
    place: Place,
    *,
    tokens: Tokens | None = None,
    batch_rows: int = ROWS,
    parallel: RowParallel | None = None,
    kept: Kept | None = None,
) -> Float[np.ndarray, "P D"]:
    """The stream at one position of each prompt, in float32.

    Args:
        positions: of each prompt.
        place: the stream, and its layer.
        tokens: called with each prompt's whole stream, which then is read at all its tokens.
        batch_rows: rows of a pass, per device; part of what fixes the bits.
        parallel: devices the rows are spread over (default: those of the weights).
        kept: where what is read is kept, so that the same call goes on after an interruption.

    Raises:
        ValueError: no prompts, or one that is too long.
        NotFiniteError: a prompt's pass is not all numbers; it is named.
    """
    rows = [
        ReadRow(prompt.tokens, range(len(prompt.tokens)) if tokens else [position])
        for prompt, position in zip(prompts, positions, strict=True)
    ]
    check_read(transformer, rows, batch_rows)
    layer = transformer.config.num_layers if place.layer is None else place.layer
    vectors = np.zeros((len(rows), transformer.config.d_model), np.float32)
    parts = read_kept(
        kept, transformer, rows, (place.stream,), None, Raw(), layers=(layer,), batch_rows=batch_rows,
        parallel=parallel, slots=all_places if tokens else one_place,
        name=lambda row: f"prompt {prompts[row].record.id or row + 1}",
    )  # fmt: skip
    for part in parts:
        for number, found in zip(part.rows, part.values["values"][:, 0], strict=True):
            vectors[number] = found[positions[number] if tokens else 0]
            if tokens:
                tokens(int(number), found[: len(prompts[number].tokens)])
    return vectors
