"""Which dictionary features differ between two labelled groups of prompts?

Prompts come from a file (--prompts), from labelled slot-machine states (--states=200) or from slot-machine games that
the model itself plays (--play=200). Written to --out: screen.parquet (a row for each layer and feature: the input of
patch_sweep), prompts.jsonl (what was run; an input for --prompts and patch_sweep), summary.json, and for --play
games.jsonl (every game, invalid ones included).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, cast

from causeway.drivers.flags import chat_flags, game_flags, model_flags, prompt_records, reading_flags
from causeway.drivers.flags.flag_values import absent, folder, no_effect
from causeway.drivers.flags.help import own_flags
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import PROCESSES, take

if TYPE_CHECKING:
    import pyarrow as pa

    from causeway.engine.analyses.screen.compared import Compared
    from causeway.engine.dictionary.placement import Holder
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord
    from causeway.engine.tokenized_prompt import TokenizedPrompt

FLAGS = take(f"groups label_field strata keep_repeats position out overwrite seed {PROCESSES}", batch_rows=16)


def main(_: list[str]) -> None:
    """Gather prompts, run them, compare, write."""
    out = _checked_directory()
    from causeway.engine.analyses.screen import summary
    from causeway.engine.analyses.screen.activations import group_sums
    from causeway.engine.analyses.screen.compared import compared, two_labels
    from causeway.engine.analyses.screen.positions import position_of, read_position
    from causeway.engine.analyses.screen.table import screen_table
    from causeway.engine.prompt_record import check_group

    # A file is read before a model is loaded, states are made after: games need the model.
    records = prompt_records.read(check_group, label_field=FLAGS.label_field) if FLAGS.prompts else []
    model_flags.dictionaries_named()
    model, parallel = model_flags.load_model(), model_flags.parallel()
    dictionary = model_flags.load_dictionaries(model)
    games: dict = {}
    if not FLAGS.prompts:
        records, games = game_flags.labelled_states(model, parallel, FLAGS.seed, out)
    records = prompt_records.rendered(model, records)
    groups = tuple(FLAGS.groups or two_labels(records))
    reduced, place = read_position(FLAGS.position)
    prompts = prompt_records.usable(records, lambda record: _runnable(model, record, place), "run")
    chosen = compared(prompts, groups, strata=FLAGS.strata, keep_repeats=FLAGS.keep_repeats)
    at = [position_of(model, prompt, place) for prompt in chosen.prompts] if place else None
    sums = group_sums(
        model.transformer, dictionary, chosen.prompts, cast(tuple[str, str], groups), strata=FLAGS.strata,
        bos=model.tokenizer.bos_id if model.tokenizer else None, position=reduced, at=at, rows=FLAGS.batch_rows,
        parallel=parallel, kept=reading_flags.kept(model),
    )  # fmt: skip
    table = screen_table(sums, seed=FLAGS.seed)
    found = summary.summarise(table)
    _write(out, table, chosen, _provenance(model, dictionary, chosen) | games | found)
    print("\n".join([_sizes(chosen, groups), *summary.lines(found)]))
    print(f"everything is in {out}: screen.parquet, prompts.jsonl, summary.json")


def _checked_directory() -> Path:
    """--out, after the checks that need no model."""
    sources = [name for name in ("prompts", "states", "play") if FLAGS[name].value]
    if len(sources) != 1:
        got = " and ".join(f"--{name}" for name in sources) or "nothing"
        raise ValueError(f"--prompts, --states, --play: got {got}; needs exactly one of them")
    if FLAGS.groups and (len(FLAGS.groups) != 2 or len(set(FLAGS.groups)) != 2):
        raise ValueError(f"--groups: got {','.join(FLAGS.groups)}; needs two distinct labels, the reference first")
    out = folder("out")
    absent([out / "screen.parquet"])
    if not FLAGS.prompts:
        no_effect("without --prompts", "label_field", "skip_bad")
        chat_flags.check(False)
    if FLAGS.play:
        no_effect("with --play, whose games are played in plain text", "chat")
    game_flags.check()
    return out


def _runnable(model: Model, record: PromptRecord, place: str) -> TokenizedPrompt:
    """A prompt with its tokens, which has the place."""
    from causeway.engine.analyses.screen.positions import position_of
    from causeway.engine.tokenized_prompt import tokenized

    prompt = tokenized(model, record, answered=False)
    if place:
        position_of(model, prompt, place)
    return prompt


def _sizes(chosen: Compared, groups: tuple[str, ...]) -> str:
    """How many prompts were compared, and how many were not."""
    from causeway.engine.analyses.screen.summary import usable_rows

    counts = Counter(prompt.record.group for prompt in chosen.prompts)
    parts = [", ".join(f"{counts[group]} {group}" for group in groups) + f"; {groups[0]} is the reference"]
    if FLAGS.strata:
        parts.append(f"{usable_rows(chosen.prompts, FLAGS.strata)} of them in strata with two or more of each group")
    if chosen.repeated:
        parts.append(f"{chosen.repeated} repeats left out")
    if chosen.left_out:
        parts.append("not compared: " + ", ".join(f"{n} {label}" for label, n in chosen.left_out.items()))
    return "prompts: " + "; ".join(parts)


def _provenance(model: Model, dictionary: Holder, chosen: Compared) -> dict:
    from causeway.engine.analyses.screen.summary import usable_rows
    from causeway.engine.sweep.environment import environment

    return {
        "model": model.name, "model_fingerprint": model.fingerprint,
        "dictionaries": FLAGS.dictionaries or model.name, "stream": dictionary.config.stream,
        "prompts": dict(Counter(prompt.record.group for prompt in chosen.prompts)), "left_out": chosen.left_out,
        "repeated": chosen.repeated, "in_usable_strata": usable_rows(chosen.prompts, FLAGS.strata),
        "flags": {name: flag.value for name, flag in own_flags().items()},
        "environment": environment(),
    }  # fmt: skip


def _write(out: Path, table: pa.Table, chosen: Compared, summary: dict) -> None:
    """The table last: with it the screen is whole."""
    from causeway.engine.sweep import checksums, durable
    from causeway.engine.sweep.table import write_table
    from causeway.ports.prompts.prompt_files import write_prompts

    with checksums.written_alone(out, ["prompts.jsonl", "summary.json", "screen.parquet"]):
        write_prompts(out / "prompts.jsonl", [prompt.record for prompt in chosen.prompts])
        durable.write_bytes(out / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
        write_table(out / "screen.parquet", table)


if __name__ == "__main__":
    run_driver(main, sys.argv)
