"""Labelled prompts for `screen`: records in, token ids with group and stratum out.

A record has `text` (or `tokens`, ids that are run unchanged), a label in a field of the caller's choice, and perhaps
fields to stratify by, at its top or in an object `strata`. Records of other labels than the two compared are left out
and counted, and so are repeats: a prompt run twice has the same values to the bit, and a test would take the copies for
more evidence. What was run is given back as records that name their `group` and echo their `token_ids`; such a file is
an input again, here and for `patch_sweep`.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from causeway.engine.analyses.screen.activations import LabelledTokens
from causeway.engine.model.handle import Model
from causeway.ports.files.record_fields import content_of, label_of


@dataclasses.dataclass(frozen=True)
class LabelledInput:
    """Prompts of both groups.

    prompts: in the order of the file. records: theirs, with `group` and `token_ids`. left_out: other labels' counts.
    repeated: prompts left out because their tokens, label and stratum had come before.
    """

    prompts: list[LabelledTokens]
    records: list[dict[str, Any]]
    left_out: dict[str, int]
    repeated: int


GAME_LABELS = ("safe", "risky")


def two_labels(records: Sequence[Mapping[str, Any]], label_field: str, where: str) -> tuple[str, str]:
    """The two groups to compare where nobody named them: the game's own, or the only two there are, as they are met.

    Raises:
        ValueError: there are more or fewer than two.
    """
    labels = list(dict.fromkeys(str(record[label_field]) for record in records))
    if set(GAME_LABELS) <= set(labels) or set(labels) <= set(GAME_LABELS):
        return GAME_LABELS
    if len(labels) != 2:
        raise ValueError(
            f"groups: {where} has {len(labels)} labels in {label_field!r} ({', '.join(labels[:6])}); name the two that "
            "are compared, the reference first"
        )
    return labels[0], labels[1]


def label_prompts(
    records: Sequence[Mapping[str, Any]],
    model: Model,
    groups: Sequence[str],
    *,
    label_field: str = "group",
    strata: Sequence[str] = (),
    keep_repeats: bool = False,
    where: str = "prompts",
) -> LabelledInput:
    """Choose the records of two groups and tokenise them.

    Args:
        records: each with `label_field`.
        groups: the two labels compared, the reference first.
        strata: fields whose values together are a prompt's stratum.
        keep_repeats: compare prompts as often as they come, which weights means by frequency and overstates evidence.
        where: name of the source, for errors.

    Raises:
        ValueError: a label no record has, a missing field, no text, or a prompt that is empty or too long.
    """
    labels = [label_of(record, label_field, f"{where} record {n}") for n, record in enumerate(records, start=1)]
    counts = Counter(labels)
    listed = ", ".join(f"{label} ({count})" for label, count in sorted(counts.items())) or "none"
    for group in groups:
        if not counts[group]:
            raise ValueError(f"groups: {group!r} labels no prompt of {where}; {label_field!r} has {listed}")
    chosen: list[tuple[LabelledTokens, dict[str, Any]]] = []
    seen: set[LabelledTokens] = set()
    repeated = 0
    for number, (record, label) in enumerate(zip(records, labels, strict=True), start=1):
        if label not in groups:
            continue
        prompt = _prompt(record, label, strata, model, f"{where} record {number}")
        if prompt in seen and not keep_repeats:
            repeated += 1
            continue
        seen.add(prompt)
        chosen.append((prompt, {**record, "group": label, "token_ids": list(prompt.tokens)}))
    left_out = {label: n for label, n in sorted(counts.items()) if label not in groups}
    return LabelledInput([prompt for prompt, _ in chosen], [record for _, record in chosen], left_out, repeated)


def _prompt(record: Mapping[str, Any], label: str, strata: Sequence[str], model: Model, where: str) -> LabelledTokens:
    try:
        ids = tuple(model.tokens(content_of(record)))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    begins = model.tokenizer is not None and ids[0] == model.tokenizer.bos_id and len(ids) > 1
    return LabelledTokens(ids, label, _stratum(record, strata, where), first=int(begins))


def _stratum(record: Mapping[str, Any], strata: Sequence[str], where: str) -> str:
    inner = record.get("strata")
    fields = {**record, **(inner if isinstance(inner, dict) else {})}
    missing = [name for name in strata if name not in fields]
    if missing:
        raise ValueError(f"{where}: has no field {missing[0]!r} to stratify by; it has {', '.join(sorted(fields))}")
    return ", ".join(f"{name} {fields[name]}" for name in strata)
