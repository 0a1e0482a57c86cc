"""Which edits each prompt is run with: `edits` and `arms` as a person writes them, made rows of edits a prompt.

    edits=e, edits=[e, f]          one list of edits, for every prompt
    edits=[[e], [], [f]]           a list a prompt
    arms=[[], [e], [f]]            lists that are compared: every prompt is run with each of them

`run` and `generate` share these rules.
"""

from collections.abc import Sequence
from typing import Any

from causeway.engine import scalars
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.edit_arrays import edit_arrays
from causeway.engine.intervention.edits import Edit
from causeway.engine.intervention.named import named_edits
from causeway.engine.intervention.requests import AnyEdit
from causeway.engine.model.handle import Model

Edits = AnyEdit | Sequence[AnyEdit] | Sequence[Sequence[AnyEdit]]
Arms = Sequence[AnyEdit | Sequence[AnyEdit]]
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
    rows: list[Row] = [named_edits([arm] if isinstance(arm, AnyEdit) else arm, model) for arm in arms]
    return [rows] * prompts


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
