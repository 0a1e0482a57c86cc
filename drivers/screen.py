"""Which dictionary features differ between two labelled groups of prompts?

Prompts come from a file (--prompts), from labelled slot-machine states (--states=200) or from slot-machine games that
the model itself plays (--play=200). Written to --out: screen.parquet (a row for each layer and feature: the input of
patch_sweep), prompts.jsonl (what was run; an input for --prompts and patch_sweep), summary.json, and for --play
games.jsonl (every game, invalid ones included).
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import cast

from absl import flags

from causeway.drivers.flags import game_flags, model_flags
from causeway.drivers.flags.flag_values import MOST_SEED
from causeway.drivers.flags.refusals import run_driver

_PROMPTS = flags.DEFINE_string("prompts", None, "JSON lines with text (or tokens), a label, and fields for --strata.")
_GROUPS = flags.DEFINE_list(
    "groups", None, "The two labels compared, the reference first (default: the two in --prompts; safe,risky of games)."
)
_LABEL_FIELD = flags.DEFINE_string("label_field", "group", "Field of the label in --prompts.")
_STRATA = flags.DEFINE_list("strata", [], "Fields held fixed, such as round,balance: compare within their values only.")
_KEEP_REPEATS = flags.DEFINE_bool("keep_repeats", False, "Compare equal prompts as often as they come, not once.")
_POSITION = flags.DEFINE_enum(
    "position", "last", ["last", "mean", "max"], "Values at the last prompt token, or their mean or max over tokens."
)
_OUT = flags.DEFINE_string("out", None, "Directory to write.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a screen that is already in --out.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of states, of the machine's luck and of the model's draws.", 0, MOST_SEED)
_ROWS = flags.DEFINE_integer("rows", 16, "Prompts of a pass, per device.", lower_bound=1)


def main(_: list[str]) -> None:
    """Gather prompts, run them, compare, write."""
    out = _checked_directory()
    from causeway.engine.analyses.screen import summary
    from causeway.engine.analyses.screen.activations import Position, group_sums
    from causeway.engine.analyses.screen.table import screen_table
    from causeway.ports.files.jsonl import read_records
    from causeway.ports.prompts.screen_inputs import label_prompts, two_labels

    # A file is read before a model is loaded, states are made after: games need the model.
    records = read_records(_PROMPTS.value, required=(_LABEL_FIELD.value,)) if _PROMPTS.value else []
    model, parallel = model_flags.load_model(), model_flags.parallel()
    dictionary = model_flags.load_dictionaries(model)
    games: dict = {}
    field, where = _LABEL_FIELD.value, _PROMPTS.value or "the slot-machine states"
    if not _PROMPTS.value:
        records, games = game_flags.labelled_states(model, parallel, _SEED.value, out)
        field = "group"
    groups = tuple(_GROUPS.value or two_labels(records, field, where))
    chosen = label_prompts(
        records, model, groups,
        label_field=field, strata=_STRATA.value, keep_repeats=_KEEP_REPEATS.value, where=where,
    )  # fmt: skip
    sums = group_sums(
        model.transformer, dictionary, chosen.prompts, cast(tuple[str, str], groups),
        position=cast(Position, _POSITION.value), rows=_ROWS.value, parallel=parallel, progress=_progress,
    )  # fmt: skip
    table = screen_table(sums)
    found = summary.summarise(table)
    _write(out, table, chosen.records, _provenance(model, dictionary, chosen) | games | found)
    print("\n".join([_sizes(chosen, groups), *summary.lines(found)]))
    print(f"everything is in {out}: screen.parquet, prompts.jsonl, summary.json")


def _checked_directory() -> Path:
    """--out, after the checks that need no model."""
    sources = [flag for flag in (_PROMPTS, game_flags.STATES, game_flags.PLAY) if flag.value is not None]
    if len(sources) != 1:
        got = " and ".join(f"--{flag.name}" for flag in sources) or "nothing"
        raise ValueError(f"--prompts, --states, --play: got {got}; needs exactly one of them")
    if _GROUPS.value is not None and (len(_GROUPS.value) != 2 or len(set(_GROUPS.value)) != 2):
        raise ValueError(f"--groups: got {','.join(_GROUPS.value)}; needs two distinct labels, the reference first")
    if not _OUT.value:
        raise ValueError("--out: got nothing; needs a directory to write")
    if (Path(_OUT.value) / "screen.parquet").exists() and not _OVERWRITE.value:
        raise ValueError(f"--out: {_OUT.value} holds a screen already; give another directory or --overwrite")
    game_flags.check()
    return Path(_OUT.value)


def _sizes(chosen, groups: tuple[str, ...]) -> str:
    """How many prompts were compared, and how many were not."""
    from causeway.engine.analyses.screen.summary import usable_rows

    counts = Counter(prompt.group for prompt in chosen.prompts)
    parts = [", ".join(f"{counts[group]} {group}" for group in groups) + f"; {groups[0]} is the reference"]
    if _STRATA.value:
        parts.append(f"{usable_rows(chosen.prompts)} of them in strata with two or more of each group")
    if chosen.repeated:
        parts.append(f"{chosen.repeated} repeats left out")
    if chosen.left_out:
        parts.append("not compared: " + ", ".join(f"{n} {label}" for label, n in chosen.left_out.items()))
    return "prompts: " + "; ".join(parts)


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total} prompts", end="" if done < total else "\n", file=sys.stderr, flush=True)


def _provenance(model, dictionary, chosen) -> dict:
    from causeway.engine.analyses.screen.summary import usable_rows
    from causeway.engine.sweep.environment import environment

    modules = [module for module in flags.FLAGS.flags_by_module_dict() if "causeway" in module]
    return {
        "model": model.name, "model_fingerprint": model.fingerprint,
        "dictionaries": model_flags.DICTIONARIES.value or model.name, "stream": dictionary.config.stream,
        "prompts": dict(Counter(prompt.group for prompt in chosen.prompts)), "left_out": chosen.left_out,
        "repeated": chosen.repeated, "in_usable_strata": usable_rows(chosen.prompts),
        "flags": {flag.name: flag.value for module in modules for flag in flags.FLAGS.get_flags_for_module(module)},
        "environment": environment(),
    }  # fmt: skip


def _write(out: Path, table, records: list[dict], summary: dict) -> None:
    """The table last: with it the screen is whole."""
    import pyarrow.parquet as pq

    from causeway.engine.sweep import checksums, durable

    with checksums.written_alone(out, ["prompts.jsonl", "summary.json", "screen.parquet"]):
        durable.write_bytes(out / "prompts.jsonl", "".join(json.dumps(record) + "\n" for record in records).encode())
        durable.write_bytes(out / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
        with durable.replacing(out / "screen.parquet") as path:
            pq.write_table(table, path)


if __name__ == "__main__":
    run_driver(main, sys.argv)
