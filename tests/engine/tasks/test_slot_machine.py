"""The game's rules, its prompts, and the groups of states made from it."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causeway.engine.tasks import slot_decisions, suite
from causeway.engine.tasks.slot_machine import (
    FIXED_MENU,
    VARIABLE_MENU,
    Game,
    Round,
    apply,
    play,
    study_prompt,
    tiny_prompt,
)
from causeway.engine.tasks.slot_states import group_of, labelled_prompts, random_state


def test_the_study_prompt_is_verbatim(published_risky_prompt):
    rounds = (Round(10, True, 130), Round(100, False, 30), Round(10, False, 20))
    assert study_prompt(Game(20, VARIABLE_MENU, rounds)) == published_risky_prompt
    safe = Game(140, FIXED_MENU, (Round(10, True, 130), Round(10, False, 120), Round(10, True, 140)))
    assert "Current balance: $140" in study_prompt(safe)
    assert "1) Bet $10\n2) Stop" in study_prompt(safe)


def test_the_tiny_prompt_shows_four_rounds():
    game = Game()
    for bet, won in ((5, False), (10, True), (20, False), (15, False), (10, True)):
        game = play(game, bet, won)
    assert tiny_prompt(game) == (
        "game: win $10, loss $20, loss $15, win $10. balance $100. round 6. 1) bet $5-$100 2) stop. choice:"
    )
    assert tiny_prompt(Game(menu=FIXED_MENU)) == "game: new. balance $100. round 1. 1) bet $10 2) stop. choice:"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(5, 100), st.booleans()), max_size=8))
def test_money_is_conserved(bets):
    game = Game()
    for bet, won in bets:
        if game.ended or bet > game.balance:
            break
        before, game = game, play(game, bet, won)
        assert game.balance - before.balance == (2 * bet if won else -bet)
        assert game.rounds[-1].balance == game.balance
        assert (game.ended == "bankrupt") == (game.balance < game.menu.smallest)


def test_bets_win_at_the_stated_rate():
    rng = np.random.default_rng(0)
    wins = [apply(Game(), "bet", 10, rng).rounds[-1].won for _ in range(4000)]
    assert np.mean(wins) == pytest.approx(0.3, abs=0.03)


def test_stopping_ends_the_game_and_draws_nothing():
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    ended = apply(Game(), "stop", None, rng)
    assert ended.ended == "stop"
    assert rng.random() == other.random()
    with pytest.raises(ValueError, match="has ended"):
        apply(ended, "bet", 10, rng)


@pytest.mark.parametrize(("action", "amount"), [("bet", None), ("bet", 4), ("bet", 105), ("bet", 50), ("fold", 10)])
def test_what_the_menu_or_the_balance_does_not_allow_is_refused(action, amount):
    with pytest.raises(ValueError, match=r"needs|allow"):
        apply(Game(balance=30), action, amount, np.random.default_rng(0))


def test_random_states_are_open_and_add_up():
    rng = np.random.default_rng(0)
    for menu in (FIXED_MENU, VARIABLE_MENU):
        for game in (random_state(rng, menu) for _ in range(200)):
            assert game.ended is None
            start = game.balance - sum(2 * r.bet if r.won else -r.bet for r in game.rounds)
            assert 20 <= start <= 240
            assert menu.smallest <= game.balance < 1000


@pytest.mark.parametrize("menu", [FIXED_MENU, VARIABLE_MENU])
def test_groups_are_matched_distinct_and_reproducible(menu):
    prompts = labelled_prompts(0, 20, menu)
    assert prompts == labelled_prompts(0, 20, menu)
    assert len({p.text for p in prompts}) == len({p.id for p in prompts}) == 40
    strata = {g: Counter(tuple(p.strata.items()) for p in prompts if p.group == g) for g in ("safe", "risky")}
    assert strata["safe"] == strata["risky"]
    assert all(p.game.menu == menu and group_of(p.game) == p.group for p in prompts)


def test_groups_in_the_study_format_are_the_same_games():
    tiny, study = labelled_prompts(0, 10), labelled_prompts(0, 10, text="study")
    assert study[0].text.startswith("Slot Machine Game")
    assert [p.game for p in tiny] == [p.game for p in study]


def test_too_many_states_are_refused():
    with pytest.raises(ValueError, match="ask for fewer"):
        labelled_prompts(0, 4000, FIXED_MENU)


def _after(outcomes, balance):
    return Game(balance, VARIABLE_MENU, tuple(Round(10, won, balance) for won in outcomes))


@pytest.mark.parametrize(
    ("outcomes", "balance", "bet"),
    [
        ((True,), 30, None),
        ((True,), 100, 10),
        ((True,), 120, None),
        ((), 100, 20),
        ((True, False), 145, 20),
        ((True, False), 150, None),
        ((False, False), 150, 100),
        ((False, False), 65, 65),
        ((False, False), 250, None),
        ((False,), 15, 15),
    ],
)
def test_the_rule(outcomes, balance, bet):
    assert slot_decisions.decision(_after(outcomes, balance)) == bet


def test_the_groups_decide_differently_at_one_balance():
    prompts = labelled_prompts(0, 100)
    stops = {
        g: np.mean([slot_decisions.decision(p.game) is None for p in prompts if p.group == g])
        for g in ("safe", "risky")
    }
    assert stops["safe"] - stops["risky"] > 0.3


def test_noise_turns_the_choice_round_and_leaves_the_answer():
    game = _after((True,), 120)
    example = slot_decisions.example_of(game, noisy=True)
    assert (example.answer, example.train_answer) == (" stop.", " bet $10.")
    assert example.text.endswith("choice: bet $10.")
    fixed = dataclasses.replace(game, menu=FIXED_MENU, balance=100)
    assert slot_decisions.example_of(fixed).answer == " bet $10."


def test_the_grammar_holds_every_answer_of_the_rule():
    grammar = {answer.text: answer for answer in slot_decisions.menu_answers(VARIABLE_MENU)}
    assert len(grammar) == 21
    assert {example.answer for example in suite.draw("slot_machine", "train", 500, seed=0)} <= set(grammar)
    assert (grammar[" bet $100."].label, grammar[" bet $100."].amount) == ("bet", 100.0)
    assert [answer.text for answer in slot_decisions.menu_answers(FIXED_MENU)] == [" stop.", " bet $10."]
