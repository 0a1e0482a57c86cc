"""What `run` and `generate` are both asked for, read and checked before anything is compiled."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from causeway.engine import scalars
from causeway.engine.calls.arms import Arms, Edits, Row, edit_rows
from causeway.engine.calls.by_name import Tapped, tapped_places
from causeway.engine.dictionary.fit import fitted
from causeway.engine.dictionary.placement import Holder, InMemory, StreamedDictionaries
from causeway.engine.intervention.hold import AnyHolds, HeldLayers, checked_holds
from causeway.engine.intervention.named import named_taps
from causeway.engine.intervention.sites import ONCE
from causeway.engine.intervention.taps import BoundTap
from causeway.engine.model.handle import Model
from causeway.engine.model.prompt_list import prompt_list


@dataclasses.dataclass(frozen=True)
class Asked:
    """A call.

    Attributes:
        tokens: of each prompt. rows: lists of edits, [prompts][arms].
        dictionary: in the model's own names and in memory. taps, tapped: as a pass carries them, and by name.
        held: what stays as in the clean pass.
    """

    tokens: list[list[int]]
    rows: list[list[Row]]
    dictionary: InMemory | None
    taps: tuple[BoundTap, ...]
    tapped: Tapped
    held: HeldLayers


def asked(
    model: Model, prompts: Any, dictionary: Holder | None, edits: Edits, arms: Arms | None, holds: AnyHolds, taps: Any
) -> Asked:
    """The arguments of a call (see `run`).

    Raises:
        ValueError: one that cannot mean what it says, or that does not fit the model or the others.
    """
    tokens = [model.tokens(prompt) for prompt in prompt_list(prompts)]
    rows = edit_rows(edits, arms, len(tokens), model)
    stack = _stack(dictionary, model, taps, rows, holds)
    held = checked_holds(holds, model.config, stack)
    return Asked(tokens, rows, stack, *tapped_places(taps, stack, model), held)


def _stack(
    dictionary: Holder | None, model: Model, taps: Any, rows: Sequence[Sequence[Row]], holds: AnyHolds
) -> InMemory | None:
    """The dictionary in the model's own names and in memory: of a streamed one the layers that are read or edited.

    Those whose features are held too, and those of transcoders where what MLPs write is: their skip connections pass
    changes on.

    Raises:
        ValueError: it does not fit the model.
    """
    if dictionary is None:
        return None
    dictionary = fitted(dictionary, model.config, model.name)
    edited = {edit.layer for prompt in rows for row in prompt for edit in row if hasattr(edit, "feature")}
    if not isinstance(dictionary, StreamedDictionaries):
        return dictionary
    for tap in named_taps(taps, model):
        if tap.reader in ("all", "selected", "top_k") and tap.stream not in ONCE:
            edited |= set(dictionary.layers if tap.layers is None else np.atleast_1d(tap.layers).tolist())
    held = HeldLayers.of(holds, model.config.num_layers, dictionary.layers)
    edited |= _skipped(dictionary, held) | held.features.keys()
    asked = {scalars.layer(layer, model.config.num_layers, "layer") for layer in edited}
    return dictionary.stack_of(*sorted(asked)) if asked else None


def _skipped(dictionary: StreamedDictionaries, held: HeldLayers) -> set[int]:
    """Layers whose transcoders may pass a change on where the output is held."""
    mask = held.mask("mlp_out")
    if mask is None or not dictionary.config.is_transcoder:
        return set()
    return {layer for layer in dictionary.layers if mask[layer]}
