"""The two prompts of the published feature-patching study, word for word: a safe state and a risky one.

They differ in history, balance and menu. Balances are as published, wins of three stakes included.
"""

from causeway.engine.tasks.slot_machine import FIXED_MENU, VARIABLE_MENU, Game, Round, study_prompt

_FIRST = Round(10, True, 130)
STUDY_GAMES = {
    "safe": Game(140, FIXED_MENU, (_FIRST, Round(10, False, 120), Round(10, True, 140))),
    "risky": Game(20, VARIABLE_MENU, (_FIRST, Round(100, False, 30), Round(10, False, 20))),
}
STUDY_PROMPTS = {context: study_prompt(game) for context, game in STUDY_GAMES.items()}
