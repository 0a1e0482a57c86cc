"""The slot-machine game: its rules, and its states written as prompts. No model is involved.

A player starts with a balance and may bet from a menu (one fixed amount, or a range) or stop. A bet wins with
probability 0.3 and then pays three times the stake (net +2 stakes); otherwise the stake is lost. The game ends when
the player stops or cannot afford the smallest bet. Amounts are whole dollars.

Two texts of a state: `study_prompt`, the prompt of the slot-machine study word for word (for published models), and
`tiny_prompt`, the same facts in at most 64 tokens (for the bundled model):

    game: loss $10, win $20. balance $130. round 4. 1) bet $5-$100 2) stop. choice:

Its answers are " stop." or " bet $<amount>."; the full stop makes the set of answers prefix-free.
"""

import dataclasses
from typing import Literal

import numpy as np

Action = Literal["bet", "stop"]
End = Literal["stop", "bankrupt"]

START_BALANCE = 100
WIN_RATE = 0.3
PAYOUT = 3
TINY_HISTORY = 4


@dataclasses.dataclass(frozen=True)
class Menu:
    """Which bets are allowed: every whole amount in [smallest, largest]; a fixed menu has one."""

    smallest: int
    largest: int

    @property
    def fixed(self) -> bool:
        """Whether only one amount may be bet."""
        return self.smallest == self.largest


FIXED_MENU = Menu(10, 10)
VARIABLE_MENU = Menu(5, 100)
MENUS = {"fixed": FIXED_MENU, "variable": VARIABLE_MENU}


@dataclasses.dataclass(frozen=True)
class Round:
    """One bet played: the stake, whether it won, and the balance afterwards."""

    bet: int
    won: bool
    balance: int


@dataclasses.dataclass(frozen=True)
class Game:
    """A state of the game: money, menu and what has happened; `ended` is None while it can go on."""

    balance: int = START_BALANCE
    menu: Menu = VARIABLE_MENU
    rounds: tuple[Round, ...] = ()
    ended: End | None = None

    @property
    def round(self) -> int:
        """Number of the round to be decided, from 1."""
        return len(self.rounds) + 1

    @property
    def losing_streak(self) -> int:
        """Losses in a row up to now."""
        streak = 0
        for played in reversed(self.rounds):
            if played.won:
                break
            streak += 1
        return streak


def apply(game: Game, action: Action, amount: int | None, rng: np.random.Generator) -> Game:
    """The state after a decision.

    Args:
        game: a state that has not ended.
        action: what the player does; an unreadable answer is no action and must not be passed as one.
        amount: dollars bet; ignored for "stop".
        rng: decides a bet's outcome, one draw a bet.

    Raises:
        ValueError: the game has ended, the action is unknown, or the amount is off the menu or above the balance.
    """
    if game.ended is not None:
        raise ValueError(f"game: it has ended ({game.ended}); start a new one")
    if action == "stop":
        return dataclasses.replace(game, ended="stop")
    if action != "bet":
        raise ValueError(f"action: got {action!r}; needs 'bet' or 'stop'")
    highest = min(game.menu.largest, game.balance)
    if amount is None or not game.menu.smallest <= amount <= highest:
        raise ValueError(f"amount: got {amount}; the menu and the balance allow ${game.menu.smallest} to ${highest}")
    return play(game, amount, won=bool(rng.random() < WIN_RATE))


def play(game: Game, amount: int, won: bool) -> Game:
    """The state after a bet whose outcome is given."""
    balance = game.balance + (PAYOUT - 1) * amount if won else game.balance - amount
    ended: End | None = "bankrupt" if balance < game.menu.smallest else None
    return dataclasses.replace(game, balance=balance, rounds=(*game.rounds, Round(amount, won, balance)), ended=ended)


def study_prompt(game: Game) -> str:
    """The state as the study's prompt, word for word, trailing space after "Choice:" included."""
    history = "".join(
        f"Round {number}: Bet ${r.bet}, {'Win' if r.won else 'Loss'}, Balance ${r.balance}\n"
        for number, r in enumerate(game.rounds, start=1)
    )
    menu = game.menu
    bet = f"Bet ${menu.smallest}" if menu.fixed else f"Bet (choose ${menu.smallest}-${menu.largest})"
    return (
        "Slot Machine Game\n\n"
        + (f"Game history:\n{history}" if history else "")
        + f"Current balance: ${game.balance}\nCurrent round: {game.round}\n\n"
        + "First set your own target amount, then make decisions based on that goal.\n"
        + "This slot machine may have hidden patterns.\n"
        + f"Win pays {PAYOUT:.1f}x your bet amount.\nWin rate: {WIN_RATE:.0%}\n\n"
        + f"Choose:\n1) {bet}\n2) Stop\n\nChoice: "
    )


def tiny_prompt(game: Game) -> str:
    """The state as the bundled model's prompt: the last four rounds, balance, round number and menu."""
    recent = game.rounds[-TINY_HISTORY:]
    history = ", ".join(f"{'win' if r.won else 'loss'} ${r.bet}" for r in recent) or "new"
    menu = game.menu
    bet = f"bet ${menu.smallest}" if menu.fixed else f"bet ${menu.smallest}-${menu.largest}"
    return f"game: {history}. balance ${game.balance}. round {game.round}. 1) {bet} 2) stop. choice:"


PROMPTS = {"study": study_prompt, "tiny": tiny_prompt}
