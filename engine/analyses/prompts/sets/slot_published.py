"""The two prompts of the published feature-patching study, word for word: one state of each context.

Safe: a fixed bet of $10, a win last, $140 left. Risky: bets from $5 to $100, two losses in a row, $20 left. They differ
in balance, history and menu at once, and there is one of each: what is found on them is of these two texts, which
`slot_machine_study` has many of with one menu. The text ends with a space, as it was given to the model, so answers
are " 1" or " 2" without theirs.
"""

import numpy as np

from causeway.engine.analyses.prompts.prompt import Candidate, one_wrong
from causeway.engine.tasks.slot_decisions import decision
from causeway.engine.tasks.slot_machine import FIXED_MENU, VARIABLE_MENU, Game, Menu, play, study_prompt

NAME = "slot_published"
# Context: the menu and the bets, each with whether it won; both begin with $110.
_GAMES: dict[str, tuple[Menu, tuple[tuple[int, bool], ...]]] = {
    "safe": (FIXED_MENU, ((10, True), (10, False), (10, True))),
    "risky": (VARIABLE_MENU, ((10, True), (100, False), (10, False))),
}


def candidates(rng: np.random.Generator, wanted: int) -> list[Candidate]:
    """Both, in one order whatever is drawn."""
    return [_candidate(context, *game) for context, game in _GAMES.items()]


def _candidate(context: str, menu: Menu, bets: tuple[tuple[int, bool], ...]) -> Candidate:
    game = Game(balance=110, menu=menu)
    for amount, won in bets:
        game = play(game, amount, won)
    answer, wrong = ("2", "1") if decision(game) is None else ("1", "2")
    fields = {"balance": game.balance, "round": game.round, "losing_streak": game.losing_streak}
    return Candidate(study_prompt(game), answer, one_wrong(wrong), context, context, fields)
