"""The first section: what is there, what is whole, and what goes on with what is not."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from causeway.ports.pages.section import Block, Card, Cards, DataTable, Missing, Prose, Section
from causeway.ports.pages.workdir import Result

ANCHOR = "overview"


def overview(results: Sequence[Result], anchors: Mapping[int, str]) -> Section:
    """The section.

    Args:
        results: in the order of the page. anchors: of those that have a section, by `id`.
    """
    whole = [result for result in results if result.whole]
    models = sorted({result.model for result in results if result.model})
    cards = [
        Card("results", str(len(results)), f"{len(whole)} whole"),
        Card("models", str(len(models)), ", ".join(models)),
    ]
    blocks: list[Block] = [Cards(cards), DataTable(
        "results", "Results", "One line for each result of a command, in the order in which they are shown.",
        _table(results, anchors), {"command": "command", "folder": "folder", "state": "state", "model": "model",
        "device": "device", "jax": "jax", "fingerprint": "fingerprint"}, shown=200)]  # fmt: skip
    if left_out := sorted({result.driver for result in results if id(result) not in anchors}):
        blocks.append(Prose(f"Listed here and not shown below: results of {', '.join(left_out)}.", "note"))
    blocks += [_unfinished(result) for result in results if not result.whole]
    return Section("What is here", ANCHOR, blocks)


def _unfinished(result: Result) -> Missing:
    """What is not whole, and the command that goes on; where its flags are not recorded, what the plan says of them."""
    place = f"--workdir={result.folder}" if result.plan else f"--out={result.folder}"
    model = f"--model={result.model} " if result.model else ""
    said = f"causeway {result.driver}, {result.name or result.folder}: {result.missing}. The command that began it, "
    said += "run again with the same flags, goes on where it stopped"
    if not result.command:
        said += f". Its flags are not recorded{_settings(result.plan)}"
    return Missing(f"{said}:", result.command or f"causeway {result.driver} {model}... {place}")


def _settings(plan: Mapping[str, Any]) -> str:
    """What of a plan's settings is short enough for a line."""
    config = plan.get("config")
    settings = config.get("settings") if isinstance(config, Mapping) else None
    if not isinstance(settings, Mapping):
        return ""
    texts = {name: ",".join(map(str, value)) if _listed(value) else value for name, value in settings.items()}
    short = [f"{name} {text}" for name, text in texts.items() if isinstance(text, str | int | float) and text != ""]
    return f"; the plan has {'; '.join(short)}" if short else ""


def _listed(value: Any) -> bool:
    """Whether a setting is some names or numbers."""
    return isinstance(value, list) and all(isinstance(one, str | int | float) for one in value)


def _table(results: Sequence[Result], anchors: Mapping[int, str]) -> pa.Table:
    rows = [
        {
            "command": result.driver,
            "folder": result.name or str(result.folder),
            "state": _state(result),
            "model": result.model or None,
            "device": str(result.environment.get("device", "")) or None,
            "jax": str(result.environment.get("jax", "")) or None,
            "fingerprint": str(result.plan.get("fingerprint", ""))[:12] or None,
            "section": anchors.get(id(result)),
        }
        for result in results
    ]
    return pa.table({name: pa.array([_in_utf8(row[name]) for row in rows], pa.string()) for name in rows[0]})


def _in_utf8(text: str | None) -> str | None:
    """A text as Arrow can hold it: the name of a folder may be any bytes."""
    return text and text.encode(errors="replace").decode()


def _state(result: Result) -> str:
    if result.planned:
        return f"{'whole' if result.whole else 'unfinished'}, {result.done} of {result.planned} units"
    return "whole" if result.whole else "unfinished"
