"""Game states of the slot machine: random ones, and two labelled groups to compare.

A state is what a careless player reaches in a few rounds of random bets. The groups differ in how the state was
reached, not in the money left or the choices offered: `risky` states follow two losses in a row, `safe` ones follow
a win. Both groups have the same menu and, stratum by stratum of (round, balance band), the same number of states,
so that a feature which tells them apart does not merely read the balance, the round or the menu.
"""

import dataclasses
from collections import defaultdict
from typing import Literal

import numpy as np

from causeway.engine import scalars
from causeway.engine.tasks.slot_machine import (
    PROMPTS,
    START_BALANCE,
    VARIABLE_MENU,
    WIN_RATE,
    Game,
    Menu,
    play,
    tiny_prompt,
)

Group = Literal["safe", "risky"]
GROUPS: tuple[Group, ...] = ("safe", "risky")

MAX_ROUNDS = 6
# Draws in a row that complete no pair, after which the supply counts as exhausted (about a second).
MAX_MISSES = 10_000
BALANCE_BANDS = (0, 40, 80, 120, 160, 200, 250, 1000)
MAX_BALANCE = BALANCE_BANDS[-1] - 1


@dataclasses.dataclass(frozen=True)
class LabelledState:
    """A game state as text with the group it belongs to and the strata it is matched on."""

    id: str
    text: str
    group: Group
    strata: dict[str, str]
    game: Game


def random_state(rng: np.random.Generator, menu: Menu) -> Game:
    """A state in which the next decision is open, after 0 to `MAX_ROUNDS` random bets; balances stay below $1000.

    Half of the games start with $100, the others with another amount: on a fixed menu the history would otherwise
    give the balance away.
    """
    while True:
        start = START_BALANCE if rng.random() < 0.5 else 5 * int(rng.integers(4, 49))
        game = Game(balance=start, menu=menu)
        for _ in range(int(rng.integers(MAX_ROUNDS + 1))):
            game = play(game, _random_bet(rng, game), won=bool(rng.random() < _win_rate(rng)))
            if game.ended:
                break
        if game.ended is None and game.balance <= MAX_BALANCE:
            return game


def group_of(game: Game) -> Group | None:
    """`risky` after two losses in a row, `safe` after a win, None for the states between."""
    if game.losing_streak >= 2:
        return "risky"
    return "safe" if game.rounds and game.rounds[-1].won else None


def labelled_prompts(
    seed: int, count: int, menu: Menu = VARIABLE_MENU, text: Literal["tiny", "study"] = "tiny"
) -> list[LabelledState]:
    """Distinct states of both groups, matched by stratum.

    Args:
        seed: of the states; the list is a function of the arguments alone.
        count: states in each group.
        menu: bets offered, the same in both groups.
        text: which prompt the states are written as.

    Returns:
        2 `count` prompts, the groups alternating; consecutive ones share a stratum.

    Raises:
        ValueError: fewer than `count` matched pairs of distinct states were found.
    """
    prompt_of = PROMPTS[text]
    pairs = _matched_pairs(np.random.default_rng([scalars.seed(seed), menu.smallest, menu.largest]), count, menu)
    if len(pairs) < count:
        raise ValueError(f"count: got {count}; found {len(pairs)} matched pairs with this menu; ask for fewer")
    return [
        LabelledState(f"{group}-{index:04d}", prompt_of(game), group, strata_of(game), game)
        for index, pair in enumerate(pairs)
        for group, game in zip(GROUPS, pair, strict=True)
    ]


def _matched_pairs(rng: np.random.Generator, count: int, menu: Menu) -> list[tuple[Game, Game]]:
    """Up to `count` (safe, risky) pairs of one stratum each; no two states have the same tiny prompt."""
    waiting: dict[tuple[str, ...], list[Game]] = defaultdict(list)
    pairs: list[tuple[Game, Game]] = []
    seen: set[str] = set()
    misses = 0
    while len(pairs) < count and misses < MAX_MISSES:
        misses += 1
        game = random_state(rng, menu)
        group, prompt = group_of(game), tiny_prompt(game)
        if group is None or prompt in seen:
            continue
        seen.add(prompt)
        stratum = tuple(strata_of(game).values())
        partners = waiting[(*stratum, "risky" if group == "safe" else "safe")]
        if partners:
            other = partners.pop(0)
            pairs.append((game, other) if group == "safe" else (other, game))
            misses = 0
        else:
            waiting[(*stratum, group)].append(game)
    return pairs


def _random_bet(rng: np.random.Generator, game: Game) -> int:
    """A random multiple of $5 that the menu and the balance allow."""
    if game.menu.fixed:
        return game.menu.smallest
    highest = min(game.menu.largest, game.balance)
    return 5 * int(rng.integers(-(-game.menu.smallest // 5), highest // 5 + 1))


def _win_rate(rng: np.random.Generator) -> float:
    """The game's rate in half of the rounds, even odds in the other half, so that good balances are not rare."""
    return WIN_RATE if rng.random() < 0.5 else 0.5


def strata_of(game: Game) -> dict[str, str]:
    """Round and balance band; the last band is open, since a played balance has no limit."""
    band = int(np.searchsorted(BALANCE_BANDS, game.balance, side="right"))
    low = BALANCE_BANDS[band - 1]
    bounds = f"{low}-{BALANCE_BANDS[band] - 1}" if band < len(BALANCE_BANDS) else f"{low}+"
    return {"round": str(game.round), "balance": bounds}
