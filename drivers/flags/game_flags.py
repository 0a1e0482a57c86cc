"""Flags of the slot machine, and the labelled states they ask for: matched ones, or those of games the model plays."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, cast

from causeway.drivers.flags.flag_values import no_effect
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from causeway.engine.devices import RowParallel
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord
    from causeway.engine.tasks.play import PlayedGame

FLAGS = take(
    "states play wording menu play_label parser max_rounds vary_start max_new_tokens temperature top_p",
)


_DRAWS = ("max_new_tokens", "temperature", "top_p")


def check() -> None:
    """Refuse flags that do not go together, before a model is loaded."""
    if not FLAGS.play:
        no_effect("without --play", "play_label", "parser", "max_rounds", "vary_start", *_DRAWS)
    if not FLAGS.play and FLAGS.states is None:
        no_effect("with --prompts", "wording", "menu")
    if FLAGS.states is not None and len(FLAGS.menu) > 1:
        raise ValueError("--menu: given twice; --states needs one menu, the same for both groups")
    if FLAGS.parser == "answers" and FLAGS.wording != "tiny":
        raise ValueError("--parser: 'answers' knows the answers to --wording=tiny; use three_state, v1, v2 or v3")
    from causeway.engine.model.sampling import Sampling

    Sampling(FLAGS.temperature, top_p=FLAGS.top_p)


def labelled_states(model: Model, parallel: RowParallel, seed: int, out: Path) -> tuple[list[PromptRecord], dict]:
    """Records of the states asked for, and what the summary says of the games; the games go to games.jsonl."""
    from causeway.engine.tasks.play import Text
    from causeway.engine.tasks.played_states import labelled_by, labelled_records
    from causeway.engine.tasks.slot_machine import MENUS
    from causeway.engine.tasks.slot_states import labelled_prompts

    text = cast(Text, FLAGS.wording)
    if FLAGS.states is not None:
        prompts = labelled_prompts(seed, FLAGS.states, MENUS[FLAGS.menu[0]], text)
        return labelled_records(prompts, text), {}
    games = _play(model, parallel, seed, [MENUS[name] for name in FLAGS.menu])
    outcomes = dict(sorted(Counter(game.outcome for game in games).items()))
    write_games(out / "games.jsonl", games)
    print("games: " + ", ".join(f"{count} {name}" for name, count in outcomes.items()), flush=True)
    return labelled_records(labelled_by(FLAGS.play_label, games), text), {"games": outcomes}


def write_games(path: Path, games: Sequence[PlayedGame]) -> None:
    """One line a game, invalid ones included."""
    from causeway.engine.sweep import durable
    from causeway.engine.tasks.play import game_record

    durable.make_folder(path.parent)
    durable.write_bytes(path, "".join(json.dumps(game_record(game)) + "\n" for game in games).encode())


def _play(model: Model, parallel: RowParallel, seed: int, menus: list) -> list[PlayedGame]:
    from causeway.engine.model.sampling import Sampling
    from causeway.engine.tasks.model_player import ModelPlayer
    from causeway.engine.tasks.play import Text, play_games

    sampling = Sampling(FLAGS.temperature, top_p=FLAGS.top_p, stop_tokens=model.stop_ids)
    player = ModelPlayer(model, sampling, seed, FLAGS.max_new_tokens, parallel=parallel)
    parser = FLAGS.parser or ("answers" if FLAGS.wording == "tiny" else "three_state")
    return play_games(
        player, FLAGS.play or 0, seed=seed, menus=menus, text=cast(Text, FLAGS.wording), parser_name=parser,
        max_rounds=FLAGS.max_rounds, vary_start=FLAGS.vary_start,
    )  # fmt: skip
