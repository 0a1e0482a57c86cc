"""Labelled game states as JSON values: what `prompts.jsonl` holds of them.

id, text, group, strata and the state itself; with the tiny text also the answers, so that the same file can be patched.
"""

from collections.abc import Sequence
from typing import Any

from causeway.engine.tasks.play import Text
from causeway.engine.tasks.slot_decisions import menu_answers
from causeway.engine.tasks.slot_states import LabelledPrompt


def labelled_records(prompts: Sequence[LabelledPrompt], text: Text) -> list[dict[str, Any]]:
    """One record a prompt; `text` says how the states are written."""
    return [_record(prompt) | (_answers(prompt) if text == "tiny" else {}) for prompt in prompts]


def _record(prompt: LabelledPrompt) -> dict[str, Any]:
    game = prompt.game
    return {
        "id": prompt.id,
        "text": prompt.text,
        "group": prompt.group,
        "strata": prompt.strata,
        "state": {
            "round": game.round,
            "balance": game.balance,
            "menu": [game.menu.smallest, game.menu.largest],
            "history": [{"bet": r.bet, "won": r.won, "balance": r.balance} for r in game.rounds],
        },
    }


def _answers(prompt: LabelledPrompt) -> dict[str, Any]:
    answers = menu_answers(prompt.game.menu)
    return {"answers": [{"text": a.text, "label": a.label, "amount": a.amount} for a in answers]}
