"""`cw.screen`: which dictionary features differ between two groups of prompts, asked for in a notebook."""

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.screen.activations import group_sums
from causeway.engine.analyses.screen.positions import position_of, read_position
from causeway.engine.analyses.screen.table import screen_table
from causeway.engine.calls.argument_order import holder_of
from causeway.engine.calls.groups import Groups, grouped_prompts
from causeway.engine.dictionary.placement import Holder
from causeway.engine.model.handle import Model, check_model
from causeway.engine.reading.read import ROWS


def screen(
    model: Model,
    prompts: Groups,
    dictionary: Holder,
    *,
    position: str = "last",
    seed: int = 0,
    batch_rows: int = ROWS,
) -> pa.Table:
    """Compare every feature of every layer between two groups of prompts.

    Args:
        model: a loaded model.
        prompts: two groups by name, the reference first: {"safe": [...], "risky": [...]}; repeats count once.
        dictionary: SAEs or transcoders, streamed and cross-layer ones too.
        position: values at the last token, or their mean or max over tokens (the BOS left out), or at the one token
            of a place, by number or name: '-2', 'user.last' of conversations, '"a text".last'.
        seed: of the deals of labels, which the p values come from.
        batch_rows: prompts of a pass.

    Returns:
        A row for each layer and feature: n_, mean_, active_fraction_, ... of each group, and d, p and q of the
        difference (`engine.analyses.screen.table` lists the columns); an input of `patch_sweep`.

    Raises:
        ValueError: other than two groups of two prompts or more, or dictionaries of another model.
    """
    check_model(model)
    holder_of("screen", dictionary)
    reduced, place = read_position(position)
    rows, seed = scalars.integer(batch_rows, "batch_rows", 1), scalars.seed(seed)
    listed = grouped_prompts(prompts, model)
    names = tuple(prompts)
    if len(names) != 2:
        raise ValueError(f"prompts: got {len(names)} groups; needs two, the reference first")
    bos = None if model.tokenizer is None else model.tokenizer.bos_id
    pair = (names[0], names[1])
    at = [position_of(model, one, place) for one in listed] if place else None
    sums = group_sums(model.transformer, dictionary, listed, pair, bos=bos, position=reduced, at=at, rows=rows)
    return screen_table(sums, seed=seed)
