"""Flags of the slot machine, and the labelled states they ask for: matched ones, or those of games the model plays."""

import json
from collections import Counter
from pathlib import Path
from typing import cast

from absl import flags

STATES = flags.DEFINE_integer(
    "states", None, "Slot-machine states of each group, matched on balance and round.", lower_bound=2
)
PLAY = flags.DEFINE_integer("play", None, "Slot-machine games for the model to play.", lower_bound=1)
TEXT = flags.DEFINE_enum("text", "tiny", ["tiny", "study"], "How states are written: briefly, or as in the study.")
MENUS = flags.DEFINE_multi_enum(
    "menu", ["variable"], ["fixed", "variable"], "Bets offered; given twice, games take turns."
)
LABEL = flags.DEFINE_enum(
    "play_label", "outcome", ["outcome", "state"], "Label played games by their end, or by what happened last."
)
PARSER = flags.DEFINE_enum(
    "parser", None, ["answers", "study_v1", "study_v2"], "How answers are read (default: answers; study_v2 for study)."
)
MAX_ROUNDS = flags.DEFINE_integer("max_rounds", 20, "Rounds after which a game is left unfinished.", lower_bound=1)
VARY_START = flags.DEFINE_bool(
    "vary_start", True, "Start each game with $20 to $240; --novary_start: all with the study's $100."
)
NEW_TOKENS = flags.DEFINE_integer("max_new_tokens", 16, "Most tokens of an answer.", lower_bound=1)
TEMPERATURE = flags.DEFINE_float("temperature", 0.7, "Sampling temperature of answers; 0 is greedy.", lower_bound=0)
TOP_P = flags.DEFINE_float("top_p", 1.0, "Answers are drawn from the most probable tokens of this mass.")


def check() -> None:
    """Refuse flags that do not go together, before a model is loaded."""
    if STATES.value is not None and len(MENUS.value) > 1:
        raise ValueError("--menu: given twice; --states needs one menu, the same for both groups")
    if PARSER.value == "answers" and TEXT.value != "tiny":
        raise ValueError("--parser: 'answers' knows the answers to --text=tiny; use study_v1 or study_v2")
    from causeway.engine.model.sampling import Sampling

    Sampling(TEMPERATURE.value, top_p=TOP_P.value)


def labelled_states(model, parallel, seed: int, out: Path) -> tuple[list[dict], dict]:
    """Records of the states asked for, and what the summary says of the games; the games go to games.jsonl."""
    from causeway.engine.tasks.labelled_records import labelled_records
    from causeway.engine.tasks.play import Text
    from causeway.engine.tasks.played_states import labelled_by
    from causeway.engine.tasks.slot_machine import MENUS as MENU_OF
    from causeway.engine.tasks.slot_states import labelled_prompts

    text = cast(Text, TEXT.value)
    if STATES.value is not None:
        prompts = labelled_prompts(seed, STATES.value, MENU_OF[MENUS.value[0]], text)
        return labelled_records(prompts, text), {}
    games = _play(model, parallel, seed, [MENU_OF[name] for name in MENUS.value])
    outcomes = dict(sorted(Counter(game.outcome for game in games).items()))
    write_games(out / "games.jsonl", games)
    print("games: " + ", ".join(f"{count} {name}" for name, count in outcomes.items()), flush=True)
    return labelled_records(labelled_by(LABEL.value, games), text), {"games": outcomes}


def write_games(path: Path, games) -> None:
    """One line a game, invalid ones included."""
    from causeway.engine.sweep import durable
    from causeway.engine.tasks.play import game_record

    durable.make_folder(path.parent)
    durable.write_bytes(path, "".join(json.dumps(game_record(game)) + "\n" for game in games).encode())


def _play(model, parallel, seed: int, menus: list):
    from causeway.engine.model.sampling import Sampling
    from causeway.engine.tasks.model_player import ModelPlayer
    from causeway.engine.tasks.play import Text, play_games

    sampling = Sampling(TEMPERATURE.value, top_p=TOP_P.value, stop_tokens=model.stop_ids)
    player = ModelPlayer(model, sampling, seed, NEW_TOKENS.value, parallel=parallel)
    parser = PARSER.value or ("answers" if TEXT.value == "tiny" else "study_v2")
    return play_games(
        player, PLAY.value or 0, seed=seed, menus=menus, text=cast(Text, TEXT.value), parser_name=parser,
        max_rounds=MAX_ROUNDS.value, vary_start=VARY_START.value,
    )  # fmt: skip
