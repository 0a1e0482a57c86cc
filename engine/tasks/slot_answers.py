"""What a slot-machine state may be answered with, in the bundled model's words.

    " stop."                          label stop
    " bet $<amount>."                 label bet, for every whole amount that the menu and the balance allow

No answer begins another, so they can be scored exactly and recognised in samples.
"""

from causeway.engine.outcome.answers import Answer
from causeway.engine.tasks.slot_decisions import answer_text
from causeway.engine.tasks.slot_machine import Game


def tiny_answers(game: Game) -> tuple[Answer, ...]:
    """All answers to `tiny_prompt(game)`."""
    highest = min(game.menu.largest, game.balance)
    bets = (Answer(answer_text(bet), "bet", float(bet)) for bet in range(game.menu.smallest, highest + 1))
    return (Answer(answer_text(None), "stop"), *bets)
