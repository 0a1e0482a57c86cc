"""`cw.features`: which features are active on prompts, asked for in a notebook."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.features.extract import extract_features, samples_of
from causeway.engine.analyses.features.positions import Positions
from causeway.engine.calls.argument_order import holder_of
from causeway.engine.calls.chat import prompt_places
from causeway.engine.dictionary.placement import Holder
from causeway.engine.model.handle import Model, Prompt, check_model, prompt_list
from causeway.engine.reading.passes import ReadRow
from causeway.engine.reading.read import ROWS


def features(
    model: Model,
    prompts: Prompt | Sequence[Prompt],
    dictionary: Holder,
    *,
    last: int | None = None,
    first: int = 1,
    places: str = "",
    top_k: int = 50,
    batch_rows: int = ROWS,
) -> pa.Table:
    """The strongest features at each token of prompts.

    Args:
        model: a loaded model.
        prompts: texts or token ids, one or several.
        dictionary: SAEs or transcoders, streamed and cross-layer ones too.
        last: tokens looked at from the end of each prompt; None takes all.
        first: the first position that counts; position 0 switches on features that say nothing about a prompt.
        places: in place of both, positions by number or name: '2:5,-1', 'user.last' of conversations, '"a text"'.
        top_k: features kept of each token and layer.
        batch_rows: prompts of a pass.

    Returns:
        A row for each active feature: prompt (its number), position, token (its id), layer, feature, value; by prompt,
        position and layer, the strongest first.

    Raises:
        ValueError: a prompt without a token that counts, or without such a place, or dictionaries of another model.
    """
    check_model(model)
    holder_of("features", dictionary)
    count = None if last is None else scalars.integer(last, "last", 1)
    positions = Positions(count, scalars.integer(first, "first"), scalars.text(places, "places"))
    rows = [_row(model, number, prompt, positions) for number, prompt in enumerate(prompt_list(prompts), start=1)]
    k, size = scalars.integer(top_k, "top_k", 1), scalars.integer(batch_rows, "batch_rows", 1)
    found = extract_features(model.transformer, dictionary, rows, slots=positions.slots, top_k=k, batch_rows=size)
    prompt, position = samples_of(rows).T
    ids, values = (np.stack([getattr(layer, name) for layer in found], axis=1) for name in ("ids", "values"))
    sample, layer, slot = np.nonzero(values)
    columns = {
        "prompt": prompt[sample], "position": position[sample],
        "token": np.array([rows[p].tokens[t] for p, t in zip(prompt, position, strict=True)])[sample],
        "layer": np.array([one.layer for one in found])[layer], "feature": ids[sample, layer, slot],
    }  # fmt: skip
    return pa.table(
        {name: column.astype(np.int32) for name, column in columns.items()} | {"value": values[values != 0]}
    )


def _row(model: Model, number: int, prompt: Prompt, positions: Positions) -> ReadRow:
    places = prompt_places(model, prompt)
    try:
        return positions.row(places.tokens, places)
    except ValueError as error:
        raise ValueError(f"prompt {number}: {error}") from None
