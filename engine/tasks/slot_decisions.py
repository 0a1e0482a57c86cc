"""The decisions the bundled model learns at the slot machine: a rule of history and balance.

    mood      when                        stops                          bets
    calm      after a win                 below $40 and from $120 on     $10
    wary      no round yet, or one loss   from $150 on                   $20
    chasing   two losses in a row         from $250 on                   as much of $100 as the balance has

So the same balance is left alone after a win and gambled away after losses: what tells the moods apart is a
representation of risk. Bets are cut to the balance and, on a fixed menu, are the menu's one amount. In training
texts one choice in 25 is the other one, which keeps the learned probabilities away from 0 and 1; the known answer is
the rule's. Held out: whole states.
"""

import numpy as np

from causeway.engine.outcome.answers import Answer
from causeway.engine.tasks.example import Example, Split, draw_until
from causeway.engine.tasks.slot_machine import FIXED_MENU, VARIABLE_MENU, Game, Menu, tiny_prompt
from causeway.engine.tasks.slot_states import random_state

NAME = "slot_machine"
CHOICE_NOISE = 0.04
CALM_RANGE = (40, 120)
WARY_TARGET = 150
CHASING_TARGET = 250


def decision(game: Game) -> int | None:
    """The rule's bet in dollars, or None to stop."""
    return None if _stops(game) else _amount(game)


def answer_text(bet: int | None) -> str:
    """A decision in the bundled model's words: " stop." or " bet $<amount>."."""
    return " stop." if bet is None else f" bet ${bet}."


def menu_answers(menu: Menu, step: int = 5) -> tuple[Answer, ...]:
    """The answer grammar of the bundled model: stopping, and every `step`-th amount on the menu.

    The model's own bets are multiples of $5; the mass of other amounts counts as invalid unless `step` is 1.
    """
    amounts = range(menu.smallest, menu.largest + 1, step)
    bets = tuple(Answer(answer_text(amount), "bet", float(amount)) for amount in amounts)
    return (Answer(answer_text(None), "stop"), *bets)


def example_of(game: Game, noisy: bool = False) -> Example:
    """The item of one state; `noisy` turns the choice of its training text round."""
    bet = decision(game)
    other = _amount(game) if bet is None else None
    answer, wrong = answer_text(bet), answer_text(other)
    return Example(
        prompt=tiny_prompt(game), answer=answer, task=NAME, wrong=(wrong,), train_answer=wrong if noisy else None
    )


def sample(rng: np.random.Generator, split: Split) -> Example:
    """A random item of the split; three in four have the variable menu."""

    def make() -> tuple[str, Example]:
        game = random_state(rng, VARIABLE_MENU if rng.random() < 0.75 else FIXED_MENU)
        example = example_of(game, noisy=bool(rng.random() < CHOICE_NOISE))
        return example.prompt, example

    return draw_until(make, split)


def _stops(game: Game) -> bool:
    if game.losing_streak >= 2:
        return game.balance >= CHASING_TARGET
    if game.rounds and game.rounds[-1].won:
        return not CALM_RANGE[0] <= game.balance < CALM_RANGE[1]
    return game.balance >= WARY_TARGET


def _amount(game: Game) -> int:
    if game.menu.fixed:
        return game.menu.smallest
    if game.losing_streak >= 2:
        wanted = 100
    else:
        wanted = 10 if game.rounds and game.rounds[-1].won else 20
    return max(game.menu.smallest, min(wanted, game.balance))
