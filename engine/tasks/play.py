"""Games of the slot machine, played to their end by any player: here the rules meet the answers.

A player is shown prompts and gives texts back. A text is read by a parser, and what it says is done:

    stop                 the game ends as `stop`
    bet                  on a fixed menu the menu's amount; on a variable one the amount named
    neither, or a bet of an amount that the menu or the balance does not allow (or of none)
                         the game ends as `invalid`: an unreadable answer is never taken for a stop, and an
                         impossible bet is never cut down to a possible one

A game also ends as `bankrupt` when the balance no longer pays the smallest bet, and as `unfinished` when it outlasts
`max_rounds`. All games that go on are asked together, round by round.

Games start with $100, or with an amount of their own, since a player that hardly varies meets few states otherwise.

Whether a bet wins is drawn from numpy's default_rng([seed, purpose, game, round]): a function of the game and the
round alone, so that another player of the same seed meets the same luck. Round 0 draws the money a game starts with.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from causeway.engine import scalars
from causeway.engine.model.sampling import Purpose
from causeway.engine.outcome.parsed import BET_UNKNOWN
from causeway.engine.outcome.parsers import parse_answers, parser
from causeway.engine.tasks.slot_decisions import menu_answers
from causeway.engine.tasks.slot_machine import PROMPTS, START_BALANCE, VARIABLE_MENU, Game, Menu, apply

Outcome = Literal["stop", "bankrupt", "invalid", "unfinished"]
Text = Literal["tiny", "study"]

# (game numbers, round, prompts) -> one answer for each prompt.
Player = Callable[[Sequence[int], int, Sequence[str]], Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Decision:
    """One answer: the state it was given in, the prompt and the text, and what it was read as.

    action: `bet`, `stop` or `invalid`. amount: dollars bet; for an invalid bet, the amount named, if any.
    """

    game: Game
    prompt: str
    response: str
    action: Literal["bet", "stop", "invalid"]
    amount: int | None


@dataclasses.dataclass(frozen=True)
class PlayedGame:
    """A game from its first prompt to its end.

    number: identifies the game and keys its luck. final: the state after the last valid decision.
    """

    number: int
    decisions: tuple[Decision, ...]
    final: Game
    outcome: Outcome


def play_games(
    player: Player,
    count: int,
    *,
    seed: int,
    menus: Sequence[Menu] = (VARIABLE_MENU,),
    text: Text = "tiny",
    parser_name: str = "answers",
    max_rounds: int = 20,
    vary_start: bool = False,
) -> list[PlayedGame]:
    """Play `count` games.

    Args:
        player: gives the answers.
        count: games, numbered from 0.
        seed: of the machine's luck.
        menus: bets offered; game number n has menu n modulo their number.
        text: how states are written, see `slot_machine`.
        parser_name: how answers are read, see `engine.outcome.parsers`; "answers" knows those to the tiny text alone.
        max_rounds: decisions after which a game is left unfinished.
        vary_start: each game starts with another multiple of $5, from $20 to $240, instead of $100.

    Raises:
        ValueError: no games, rounds or menus asked for, or an unknown text or parser, or one that does not fit.
    """
    _check(count, max_rounds, menus, text, parser_name)
    seed = scalars.seed(seed)
    balances = [_start(seed, number) if vary_start else START_BALANCE for number in range(count)]
    games = [_Running(n, Game(balance=balances[n], menu=menus[n % len(menus)])) for n in range(count)]
    for round_number in range(1, max_rounds + 1):
        live = [running for running in games if running.outcome is None]
        if not live:
            break
        prompts = [PROMPTS[text](running.game) for running in live]
        responses = player([running.number for running in live], round_number, prompts)
        for running, prompt, response in zip(live, prompts, responses, strict=True):
            decision = _read(running.game, prompt, response, parser_name)
            running.take(decision, _luck(seed, running.number, round_number))
    return [PlayedGame(r.number, tuple(r.decisions), r.game, r.outcome or "unfinished") for r in games]


def _luck(seed: int, number: int, round_number: int) -> np.random.Generator:
    return np.random.default_rng([seed, int(Purpose.GAME), number, round_number])


def _start(seed: int, number: int) -> int:
    return 5 * int(_luck(seed, number, 0).integers(4, 49))


@dataclasses.dataclass
class _Running:
    """A game that may go on; `outcome` is None while it does."""

    number: int
    game: Game
    decisions: list[Decision] = dataclasses.field(default_factory=list)
    outcome: Outcome | None = None

    def take(self, decision: Decision, rng: np.random.Generator) -> None:
        """Do what a decision says."""
        self.decisions.append(decision)
        if decision.action == "invalid":
            self.outcome = "invalid"
        else:
            self.game = apply(self.game, decision.action, decision.amount, rng)
            self.outcome = self.game.ended


def _read(game: Game, prompt: str, response: str, parser_name: str) -> Decision:
    parsed = parser(parser_name)(response, menu_answers(game.menu, step=1), "")
    amount = None if parsed.amount is None else int(parsed.amount)
    if parsed.decision == "stop":
        return Decision(game, prompt, response, "stop", None)
    if parsed.decision in ("bet", BET_UNKNOWN):
        # With one amount on the menu, the choice is the bet; v1 reads its number ("1") as an amount.
        bet = game.menu.smallest if game.menu.fixed else amount
        if bet is not None and game.menu.smallest <= bet <= min(game.menu.largest, game.balance):
            return Decision(game, prompt, response, "bet", bet)
    return Decision(game, prompt, response, "invalid", amount)


def game_record(played: PlayedGame) -> dict[str, Any]:
    """A game as JSON values: its outcome, and each round's balance, answer and what it was read as."""
    menu = played.final.menu
    return {
        "game": played.number,
        "outcome": played.outcome,
        "menu": [menu.smallest, menu.largest],
        "final_balance": played.final.balance,
        "rounds": [
            {
                "round": d.game.round,
                "balance": d.game.balance,
                "prompt": d.prompt,
                "response": d.response,
                "action": d.action,
                "amount": d.amount,
                "won": after.won if after else None,
            }
            for d, after in zip(played.decisions, [*played.final.rounds, None], strict=False)
        ],
    }


def _check(count: int, max_rounds: int, menus: Sequence[Menu], text: str, parser_name: str) -> None:
    if count < 1 or max_rounds < 1 or not menus:
        raise ValueError(
            f"games: got {count} of {max_rounds} rounds with {len(menus)} menus; needs one or more of each"
        )
    if text not in PROMPTS:
        raise ValueError(f"text: got {text!r}; needs one of {', '.join(PROMPTS)}")
    if parser(parser_name) is parse_answers and text != "tiny":
        raise ValueError(
            f"parser: 'answers' knows the answers to the tiny text, got {text!r}; use three_state, v1, v2 or v3"
        )
