"""Labelled game states as prompt records: what `prompts.jsonl` holds of them.

Text, group, strata and the state itself; with the tiny text also the answers, so that the same file can be patched.
"""

from collections.abc import Sequence
from typing import Any

from causeway.engine.prompt_record import PromptRecord
from causeway.engine.tasks.play import Text
from causeway.engine.tasks.slot_decisions import menu_answers
from causeway.engine.tasks.slot_machine import Game
from causeway.engine.tasks.slot_states import LabelledState


def labelled_records(states: Sequence[LabelledState], text: Text) -> list[PromptRecord]:
    """One record a state; `text` says how the states are written."""
    return [
        PromptRecord(
            state.text, menu_answers(state.game.menu) if text == "tiny" else (), "slot_machine", "all", state.id,
            state.group, fields={"strata": state.strata, "state": _described(state.game)},
        )
        for state in states
    ]  # fmt: skip


def _described(game: Game) -> dict[str, Any]:
    return {
        "round": game.round,
        "balance": game.balance,
        "menu": [game.menu.smallest, game.menu.largest],
        "history": [{"bet": r.bet, "won": r.won, "balance": r.balance} for r in game.rounds],
    }
