"""Two labelled groups of prompts out of played games.

    outcome   one prompt a game, that of its last decision: `safe` where the player stopped, `risky` where the bet
              ended in bankruptcy (the original study's groups). Invalid and unfinished games have no group.
    state     by what had happened (`slot_states.group_of`): `safe` after a win, `risky` after two losses in a row; at
              most one prompt of each group from a game, its last, because the rounds of a game are not independent.
              A prompt that another game already gave is left out.

Strata are the round and the balance band, as for the states of `slot_states`.
"""

from collections.abc import Sequence
from typing import Any

from causeway.engine.prompt_record import PromptRecord
from causeway.engine.tasks.play import Decision, PlayedGame, Text
from causeway.engine.tasks.slot_decisions import menu_answers
from causeway.engine.tasks.slot_machine import Game
from causeway.engine.tasks.slot_states import Group, LabelledState, group_of, strata_of

LABELS = ("outcome", "state")
_OF_OUTCOME: dict[str, Group] = {"stop": "safe", "bankrupt": "risky"}


def labelled_by(label: str, games: Sequence[PlayedGame]) -> list[LabelledState]:
    """The prompts of both groups, in the order of the games.

    Raises:
        ValueError: an unknown label.
    """
    if label not in LABELS:
        raise ValueError(f"label: got {label!r}; needs one of {', '.join(LABELS)}")
    return _by_outcome(games) if label == "outcome" else _by_state(games)


def _by_outcome(games: Sequence[PlayedGame]) -> list[LabelledState]:
    ended = [(played, _OF_OUTCOME[played.outcome]) for played in games if played.outcome in _OF_OUTCOME]
    return [_labelled(played, played.decisions[-1], group) for played, group in ended]


def _by_state(games: Sequence[PlayedGame]) -> list[LabelledState]:
    prompts: dict[str, LabelledState] = {}
    for played in games:
        last = {group_of(decision.game): decision for decision in played.decisions}
        for group, decision in last.items():
            if group is not None:
                prompts.setdefault(decision.prompt, _labelled(played, decision, group))
    return list(prompts.values())


def _labelled(played: PlayedGame, decision: Decision, group: Group) -> LabelledState:
    name = f"game-{played.number:04d}-round-{decision.game.round:02d}"
    return LabelledState(name, decision.prompt, group, strata_of(decision.game), decision.game)


def labelled_records(states: Sequence[LabelledState], text: Text) -> list[PromptRecord]:
    """One record a state, with its strata and the state itself; `text` says how the states are written.

    With the tiny text also the answers, so that the same file can be patched.
    """
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
