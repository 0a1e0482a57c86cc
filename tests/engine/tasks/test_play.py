"""Games played by scripted players and by a model: their arithmetic, their endings, their luck."""

import json
from collections import Counter
from typing import get_args

import numpy as np
import pytest

from causeway.engine.model.handle import Model
from causeway.engine.model.sampling import Sampling
from causeway.engine.tasks.model_player import ModelPlayer
from causeway.engine.tasks.play import Outcome, game_record, play_games
from causeway.engine.tasks.played_states import labelled_by
from causeway.engine.tasks.slot_machine import FIXED_MENU, VARIABLE_MENU, Game, tiny_prompt
from causeway.engine.tasks.slot_states import group_of, random_state, strata_of
from causeway.ports.models.load import load_model
from causeway.ports.models.tokenizer import load_tokenizer
from causeway.ports.models.word_tokenizer import build_word_tokenizer, save_word_tokenizer


def always(text):
    return lambda games, round_number, prompts: [text] * len(prompts)


def moody(games, round_number, prompts):
    """A mixed player: bets, stops and talks nonsense, as a function of the game and the round."""
    texts = [" bet $5.", " bet $20.", " bet $10.", " stop.", " bet $20.", " hello"]
    return [texts[(7 * game + 5 * round_number) % len(texts)] for game in games]


def test_payouts_follow_the_rules_and_the_luck_of_the_game():
    games = play_games(always(" bet $20."), 40, seed=3, max_rounds=4)
    for played in games:
        balance = 100
        for k, after in enumerate(played.final.rounds):
            won = np.random.default_rng([3, 2, played.number, k + 1]).random() < 0.3
            assert played.decisions[k].game.balance == balance
            balance += 40 if won else -20
            assert (after.won, after.balance) == (won, balance)
        assert played.outcome == ("bankrupt" if balance < 5 else "invalid" if balance < 20 else "unfinished")
    assert Counter(played.outcome for played in games).keys() == {"unfinished"}
    ended = play_games(always(" bet $20."), 40, seed=3, max_rounds=60)
    assert {played.outcome for played in ended} <= {"bankrupt", "unfinished"}
    assert all(played.final.balance == 0 for played in ended if played.outcome == "bankrupt")


def test_luck_is_the_same_for_another_player_and_more_games():
    few = play_games(always(" bet $10."), 5, seed=1, max_rounds=5)
    assert few == play_games(always(" bet $10."), 20, seed=1, max_rounds=5)[:5]
    bold = play_games(always(" bet $15."), 5, seed=1, max_rounds=5)
    assert [[r.won for r in g.final.rounds] for g in few] == [[r.won for r in g.final.rounds] for g in bold]
    assert few != play_games(always(" bet $10."), 5, seed=2, max_rounds=5)


def test_games_start_with_money_of_their_own_where_asked():
    starts = [g.decisions[0].game.balance for g in play_games(always(" stop."), 50, seed=1, vary_start=True)]
    assert min(starts) >= 20
    assert max(starts) <= 240
    assert len(set(starts)) > 15
    assert starts[:9] == [
        g.decisions[0].game.balance for g in play_games(always(" bet $5."), 9, seed=1, vary_start=True)
    ]


@pytest.mark.parametrize(
    "response", ["", " hello", " bet", " bet $", " bet $3.", " bet $101.", " bet $500.", " do not stop.", "stop."]
)
def test_what_cannot_be_read_or_afforded_is_invalid_and_never_a_stop(response):
    played = play_games(always(response), 1, seed=0)[0]
    assert played.outcome == "invalid"
    assert len(played.decisions) == 1
    assert played.decisions[0].action == "invalid"
    assert played.decisions[0].response == response
    assert played.final == Game()
    assert labelled_by("outcome", [played]) == []


@pytest.mark.parametrize("parser_name", ["answers", "three_state", "v1", "v2", "v3"])
def test_no_parser_turns_nonsense_into_a_stop(parser_name):
    text = "tiny" if parser_name == "answers" else "study"
    played = play_games(always(" well, well"), 3, seed=0, parser_name=parser_name, text=text)
    assert {p.outcome for p in played} == {"invalid"}


@pytest.mark.parametrize("parser_name", ["three_state", "v2", "v3"])
def test_menus_in_the_study_text(parser_name):
    games = play_games(always("1"), 4, seed=0, menus=(VARIABLE_MENU, FIXED_MENU), text="study", parser_name=parser_name)
    # The choice alone is a bet on a fixed menu; on a variable one it names no amount.
    assert [g.outcome == "invalid" for g in games] == [True, False, True, False]
    assert all(r.bet == 10 for g in games for r in g.final.rounds)
    assert games[1].decisions[0].prompt.startswith("Slot Machine Game\n\nCurrent balance: $100")
    assert "1) Bet $10\n" in games[1].decisions[0].prompt
    assert "Game history:\nRound 1: Bet $10, " in games[1].decisions[1].prompt


@pytest.fixture(scope="module")
def mixed():
    return play_games(moody, 120, seed=5, menus=(VARIABLE_MENU, FIXED_MENU), max_rounds=12)


def test_groups_by_outcome(mixed):
    prompts = labelled_by("outcome", mixed)
    outcomes = Counter(played.outcome for played in mixed)
    assert Counter(p.group for p in prompts) == {
        group: outcomes[outcome] for outcome, group in (("stop", "safe"), ("bankrupt", "risky")) if outcomes[outcome]
    }
    assert outcomes["invalid"] > 0
    by_id = {p.id: p for p in prompts}
    for played in (p for p in mixed if p.outcome == "stop"):
        last = played.decisions[-1]
        prompt = by_id[f"game-{played.number:04d}-round-{last.game.round:02d}"]
        assert (prompt.text, prompt.game) == (last.prompt, last.game)


def test_groups_by_state_are_distinct_and_one_a_game(mixed):
    prompts = labelled_by("state", mixed)
    assert {p.group for p in prompts} == {"safe", "risky"}
    assert all(group_of(p.game) == p.group for p in prompts)
    assert len({p.text for p in prompts}) == len(prompts)
    assert max(Counter((p.id.split("-round")[0], p.group) for p in prompts).values()) == 1


def test_strata_have_an_open_last_band():
    assert strata_of(Game(balance=95)) == {"round": "1", "balance": "80-119"}
    assert strata_of(Game(balance=4000))["balance"] == "1000+"


def test_a_record_is_json_and_holds_every_round(mixed):
    for played in mixed:
        record = json.loads(json.dumps(game_record(played)))
        assert record["outcome"] in get_args(Outcome)
        assert [r["response"] for r in record["rounds"]] == [d.response for d in played.decisions]
        assert [r["won"] for r in record["rounds"] if r["action"] == "bet"] == [r.won for r in played.final.rounds]


def test_bad_requests_are_refused(refuses):
    with refuses("'answers' knows the answers to the tiny text"):
        play_games(always(""), 1, seed=0, text="study")
    with refuses("got 0 of 20 rounds"):
        play_games(always(""), 0, seed=0)
    with refuses("parser: got 'guess'"):
        play_games(always(""), 1, seed=0, parser_name="guess")
    with refuses("label: got 'mood'"):
        labelled_by("mood", [])


@pytest.fixture(scope="module")
def model(tiny, tmp_path_factory):
    """Random weights under a tokenizer that knows the game's words."""
    rng = np.random.default_rng(0)
    texts = [tiny_prompt(random_state(rng, VARIABLE_MENU)) for _ in range(40)]
    folder = tmp_path_factory.mktemp("words")
    save_word_tokenizer(build_word_tokenizer([*texts, " stop. bet $5."], 60), folder)
    tokenizer = load_tokenizer(folder)
    transformer = tiny.make_transformer(vocab_size=tokenizer.vocab_size, max_position=80)
    return Model(transformer, tokenizer, "random", "")


def _greedy(plain, model, prompt, count):
    """The most probable continuation in plain numpy."""
    ids = model.tokens(prompt)
    for _ in range(count):
        ids.append(int(plain.logits(model.transformer, ids)[-1].argmax()))
    return model.tokenizer.decode(ids)[len(model.tokenizer.decode(model.tokens(prompt))) :]


def _one_bucket(model):
    """Six prompts of 33 to 48 tokens, so that all tests together compile few programs; a first round's is one."""
    rng = np.random.default_rng(1)
    prompts = [tiny_prompt(Game()), *(tiny_prompt(random_state(rng, VARIABLE_MENU)) for _ in range(20))]
    return [prompt for prompt in prompts if 32 < len(model.tokens(prompt)) <= 48][:6]


@pytest.mark.slow
def test_a_model_answers_every_prompt_as_if_it_were_alone(plain, model):
    prompts = _one_bucket(model)[:3]
    greedy = ModelPlayer(model, Sampling(temperature=0), seed=0, max_new_tokens=17, rows=2)
    # Seventeen tokens: more than the first segment holds.
    assert greedy(range(3), 1, prompts) == [_greedy(plain, model, prompt, 17) for prompt in prompts]


def test_a_models_answers_depend_on_game_and_round_alone(model):
    prompts = _one_bucket(model)
    player = ModelPlayer(model, Sampling(temperature=1.0), seed=0, max_new_tokens=3, rows=4)
    answers = player(range(6), 1, prompts)
    assert player([4, 1], 1, [prompts[4], prompts[1]]) == [answers[4], answers[1]]
    assert player(range(6), 2, prompts) != answers
    games = play_games(player, 5, seed=0, max_rounds=3)
    assert games == play_games(player, 5, seed=0, max_rounds=3)
    assert {played.outcome for played in games} == {"invalid"}


def test_a_prompt_without_room_for_an_answer_is_refused(model, refuses):
    with refuses("game 3, round 1: a prompt of .* and 79 new ones, but the context of random is 80"):
        ModelPlayer(model, Sampling(), seed=0, max_new_tokens=79)([3], 1, [tiny_prompt(Game())])


@pytest.mark.slow
def test_the_bundled_model_plays_by_the_rules():
    player = ModelPlayer(load_model("bundled:tiny"), Sampling(temperature=0.7), seed=0, max_new_tokens=8)
    games = play_games(player, 24, seed=0, max_rounds=4, vary_start=True)
    outcomes = Counter(played.outcome for played in games)
    assert outcomes["invalid"] <= 2
    assert outcomes["stop"] >= 6
    bets = [d.amount for g in games for d in g.decisions if d.action == "bet"]
    assert set(bets) <= set(range(5, 101, 5))
