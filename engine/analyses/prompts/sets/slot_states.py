"""States of the slot machine, with the choice that the game's rule of mood and balance makes.

Two texts: the bundled model's, answered " stop." or " bet $<amount>."; and the study's for published models, answered
with the number of the choice, " 1" to bet or " 2" to stop (its trailing space goes to the answer). The split is by
state. What counts as right is the rule that the bundled model was trained on (`engine.tasks.slot_decisions`); a
published model has no right answer here, and the difference is then its leaning.
"""

from collections.abc import Callable

import numpy as np

from causeway.engine.analyses.prompts.prompt import Candidate, one_wrong
from causeway.engine.tasks.slot_decisions import decision, example_of
from causeway.engine.tasks.slot_machine import VARIABLE_MENU, Game, study_prompt, tiny_prompt
from causeway.engine.tasks.slot_states import group_of, random_state

NAME = "slot_machine"
STUDY_NAME = "slot_machine_study"
SPARE = 3


def candidates(rng: np.random.Generator, wanted: int) -> list[Candidate]:
    """Random states in the bundled model's text."""
    return _states(rng, wanted, _tiny)


def study(rng: np.random.Generator, wanted: int) -> list[Candidate]:
    """Random states in the study's text."""
    return _states(rng, wanted, _study)


def _states(rng: np.random.Generator, wanted: int, write: Callable[[Game], Candidate]) -> list[Candidate]:
    return [write(random_state(rng, VARIABLE_MENU)) for _ in range(SPARE * wanted)]


def _tiny(game: Game) -> Candidate:
    example = example_of(game)
    return _candidate(game, example.prompt, example.answer, example.wrong[0])


def _study(game: Game) -> Candidate:
    stops = decision(game) is None
    return _candidate(game, study_prompt(game).rstrip(" "), (" 1", " 2")[stops], (" 2", " 1")[stops])


def _candidate(game: Game, prompt: str, answer: str, wrong: str) -> Candidate:
    bet = decision(game)
    fields = {
        "balance": game.balance, "round": game.round, "losing_streak": game.losing_streak, "decision": bet or "stop",
        "labelled": group_of(game),
    }  # fmt: skip
    return Candidate(prompt, answer, one_wrong(wrong), tiny_prompt(game), "stop" if bet is None else "bet", fields)
