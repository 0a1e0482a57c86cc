"""What `run` and `generate` are both asked for, read and checked before anything is compiled.

Which edits each prompt is run with, as a person writes them:

    edits=e, edits=[e, f]          one list of edits, for every prompt
    edits=[[e], [], [f]]           a list a prompt
    arms=[[], [e], [f]]            lists that are compared: every prompt is run with each of them
    arms=[[[], [e]], [[], [f]]]    lists that are compared on each prompt, of as many for every prompt
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from causeway.engine import scalars
from causeway.engine.calls.by_name import Tapped, tapped_places
from causeway.engine.dictionary.fit import fitted
from causeway.engine.dictionary.placement import Holder, InMemory, StreamedDictionaries
from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.edit_arrays import edit_arrays
from causeway.engine.intervention.edits import Edit
from causeway.engine.intervention.hold import AnyHolds, HeldLayers, checked_holds
from causeway.engine.intervention.named import named_edits, named_holds, named_taps
from causeway.engine.intervention.requests import AnyEdit
from causeway.engine.intervention.sites import ONCE
from causeway.engine.intervention.taps import BoundTap
from causeway.engine.model.handle import Model, prompt_list

Edits = AnyEdit | Sequence[AnyEdit] | Sequence[Sequence[AnyEdit]]
Arms = Sequence[AnyEdit | Sequence[AnyEdit]] | Sequence[Sequence[AnyEdit | Sequence[AnyEdit]]]
Row = Sequence[AnyEdit]


def edit_rows(edits: Edits, arms: Arms | None, prompts: int, model: Model) -> list[list[Row]]:
    """The rows of edits of each prompt [prompts][arms], their places named as the engine names them.

    Raises:
        ValueError: both arguments, another number of lists than of prompts, or something that is no edit.
    """
    if arms is None:
        return [[named_edits(row, model)] for row in _one_a_prompt(edits, prompts)]
    if not isinstance(edits, Sequence) or len(edits):
        raise ValueError("edits, arms: got both; put the edits into the arms that have them")
    if not isinstance(arms, list | tuple) or not arms or not all(isinstance(a, AnyEdit | list | tuple) for a in arms):
        raise ValueError(f"arms: got {scalars.shown(arms)}; needs a list of lists of edits, such as [[], [edit]]")
    if not _one_list_a_prompt(arms):
        return [_named_arms(arms, model)] * prompts
    if len(arms) != prompts or len({len(own) for own in arms}) > 1:
        counts = ", ".join(map(str, dict.fromkeys(len(own) for own in arms)))
        raise ValueError(
            f"arms: got {len(arms)} lists of {counts} arms for {prompts} prompt{'s' * (prompts > 1)}; needs one list "
            "of arms for all prompts, or one a prompt, all of as many"
        )
    return [_named_arms(own, model) for own in arms]


def _one_list_a_prompt(arms: Sequence[Any]) -> bool:
    """Whether each entry is a list of arms, not of edits."""
    return all(isinstance(own, list | tuple) and own and isinstance(own[0], list | tuple) for own in arms)


def _named_arms(arms: Sequence[Any], model: Model) -> list[Row]:
    return [named_edits([arm] if isinstance(arm, AnyEdit) else arm, model) for arm in arms]


def edit_arrays_of(
    rows: Sequence[Row], length: int, model: Model, dictionary: InMemory | None, mode: str
) -> tuple[Edit, ...]:
    """Rows of edits of one prompt of that length as arrays [R, E], checked.

    Raises:
        ValueError: edits that cannot mean what they say.
    """
    edits = edit_arrays(rows, length, model.config, dictionary, mode)
    check_edits(edits, model.config, dictionary)
    return edits


def _one_a_prompt(edits: Any, prompts: int) -> list[Row]:
    edits = [edits] if isinstance(edits, AnyEdit) else edits
    if not isinstance(edits, list | tuple):
        raise ValueError(f"edits: got {scalars.shown(edits)}; needs a list of edits, or one such list a prompt")
    if not edits or not all(isinstance(row, list | tuple) for row in edits):
        return [edits] * prompts
    if len(edits) != prompts:
        raise ValueError(
            f"edits: got {len(edits)} lists for {prompts} prompt{'s' * (prompts > 1)}; needs one list for all prompts, "
            "or one a prompt; lists to compare on every prompt are arms=[[...], [...]]"
        )
    return list(edits)


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
    rows, holds = edit_rows(edits, arms, len(tokens), model), named_holds(holds, model)
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
    edited |= held.skipping(dictionary.config) | held.features.keys()
    asked = {scalars.layer(layer, model.config.num_layers, "layer") for layer in edited}
    return dictionary.stack_of(*sorted(asked)) if asked else None
