"""What is recorded of a result, as texts by name: the plan's and the summary's fields, with dots, and a few by names
that all commands share, since one has its seed in its settings and another in its flags."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any

import pyarrow.parquet as pq

from causeway.ports.pages.workdir import Result, read_json

# Names that all commands share, and where each is looked for, first come first taken.
SHARED: Mapping[str, tuple[str, ...]] = {
    "weights": ("plan.parts.weights", "about.model_fingerprint", "about.about.model_fingerprint",
                "about.identity.model_fingerprint"),
    "dictionaries": ("plan.parts.dictionaries", "plan.parts.dictionary", "about.dictionaries_fingerprint",
                     "about.about.dictionaries_fingerprint"),
    "seed": ("plan.config.settings.seed", "plan.config.seed", "about.settings.seed", "about.flags.seed", "about.seed",
             "about.about.seed", "about.summary.seed"),
}  # fmt: skip
DIGEST = 16
# What values are called in a text.
WORDS = {
    "bh": "Benjamini and Hochberg", "by": "Benjamini and Yekutieli", "last_prompt": "the last token of the prompt",
    "delta": "adding the difference that it makes to what the feature writes",
    "replace": "putting the edited reconstruction in the stream's place",
    "q90 of each group": "the 90 % quantiles of a feature's values in each group",
    "given": "those given with the features", "open": "nothing",
}  # fmt: skip


def facts_of(result: Result) -> dict[str, str]:
    """The facts, none of them empty."""
    whole = {"plan": result.plan, "about": result.about, "made": result.environment}
    found = dict(_flat(whole, ""))
    for name, places in SHARED.items():
        if text := next((found[place] for place in places if place in found), ""):
            found[name] = text[:DIGEST] if name != "seed" else text
    found |= {
        "model": result.model,
        "missing": result.missing,
        "fingerprint": found.get("plan.fingerprint", "")[:DIGEST],
    }
    found["made.code"] = found.get("made.code", "")[:12]
    if own := _OWN.get(result.driver):
        found |= own(result)
    return {name: text for name, text in found.items() if text}


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Texts by dotted name; counts by name ({"safe": 24}) as a text too."""
    if isinstance(value, Mapping):
        if value and all(type(one) is int for one in value.values()):
            yield name, ", ".join(f"{count} {kind}" for kind, count in value.items())
            yield f"{name}.sum", str(sum(value.values()))
        for field, one in value.items():
            yield from _flat(one, f"{name}.{field}" if name else field)
    elif isinstance(value, list):
        parts = [one if isinstance(one, list) else [one] for one in value]
        if all(isinstance(one, str | int | float) for part in parts for one in part):
            yield name, ", ".join(" ".join(map(_text, part)) for part in parts)
            yield f"{name}.count", str(len(value))
    elif value is not None and value != "":
        yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return WORDS.get(value, value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _of_sweep(result: Result) -> dict[str, str]:
    """How intervals were made, which stands with the effects themselves."""
    outcomes = result.about.get("outcomes", {}).values()
    methods = {row.get("interval", "") for one in outcomes for row in one.get("strongest", ())} - {"", "none"}
    kinds = {str(arm).partition(":")[0] for arm in result.plan.get("config", {}).get("settings", {}).get("arms", ())}
    units: list[str] = []
    # One column, which the section has read with the others; it says what is wrong with the file.
    with contextlib.suppress(OSError, ValueError, KeyError):
        units = pq.read_table(result.folder / "effects.parquet", columns=["unit"])["unit"].unique().to_pylist()
    said = {"intervals": "; ".join(sorted(methods)), "units": ", ".join(sorted({*units} - {None, "none"}))}
    return {**said, **{f"arm.{kind}": "yes" for kind in kinds}}


def _of_baseline(result: Result) -> dict[str, str]:
    """Behaviours and splits, with their prompts and thresholds."""
    said = []
    for path in sorted(result.folder.glob("baseline_metrics_*.json")):
        split = path.stem.removeprefix("baseline_metrics_")
        for name, entry in read_json(path).get("behaviours", {}).items():
            fields = ("prompts", "groups", "min_score_diff", "success_threshold")
            prompts, groups, margin, threshold = (entry.get(field) for field in fields)
            numbers = f"{prompts} prompts in {groups} groups, margin {margin} nats a token, threshold {threshold}"
            said.append(f"{name}, {split} ({numbers})")
    return {"behaviours": "; ".join(said)}


def _of_features(result: Result) -> dict[str, str]:
    """Sets of prompts, each of which says for itself where it was read."""
    said = []
    for path in sorted(result.folder.glob("*_summary.json")):
        fields = ("behaviour", "split", "prompts", "samples", "positions", "stream")
        one = read_json(path)
        if all(field in one for field in fields):
            name, split, prompts, tokens, places, stream = (one[field] for field in fields)
            said.append(f"{name}, {split} ({prompts} prompts, {tokens} tokens at {places}, stream {stream})")
    return {"sets": "; ".join(said)}


def _of_prompts(result: Result) -> dict[str, str]:
    """The files of both splits, with their lines and checksums."""
    said = []
    for path in sorted({*result.folder.glob("*_train.jsonl"), *result.folder.glob("*_test.jsonl")}):
        content = path.read_bytes()
        lines, digest = content.count(b"\n"), sha256(content).hexdigest()[:DIGEST]
        said.append(f"{path.name} ({lines} prompts, sha256 {digest})")
    return {"files": "; ".join(said)}


_OWN: Mapping[str, Callable[[Result], dict[str, str]]] = {
    "patch_sweep": _of_sweep,
    "evaluate": _of_baseline,
    "features": _of_features,
    "prompts": _of_prompts,
}
