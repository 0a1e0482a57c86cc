"""The prompts of two groups: which records are compared, as which tokens, and within which strata.

Records of other labels are left out and counted, and so are repeats: a prompt run twice has the same values to the bit,
and a test would take the copies for more evidence. The records that were compared echo their `token_ids`; a file of
them is an input again, for the screen and for a sweep.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from causeway.engine.analyses.screen.activations import LabelledTokens
from causeway.engine.prompt_record import PromptRecord

GAME_LABELS = ("safe", "risky")


@dataclasses.dataclass(frozen=True)
class Compared:
    """Prompts of both groups.

    Attributes:
        prompts: as they are run, in the order of the records.
        records: theirs, with `token_ids`.
        left_out: how many had other labels, by label.
        repeated: how many were left out because their tokens, label and stratum had come before.
    """

    prompts: list[LabelledTokens]
    records: list[PromptRecord]
    left_out: dict[str, int]
    repeated: int


def two_labels(records: Sequence[PromptRecord]) -> tuple[str, str]:
    """The two groups to compare where nobody named them: the game's own, or the only two there are, as they are met.

    Raises:
        ValueError: there are more or fewer than two.
    """
    labels = list(dict.fromkeys(record.group for record in records))
    if set(GAME_LABELS) <= set(labels) or set(labels) <= set(GAME_LABELS):
        return GAME_LABELS
    if len(labels) != 2:
        raise ValueError(
            f"groups: there are {len(labels)} labels ({', '.join(labels[:6])}{', ...' * (len(labels) > 6)}); needs two "
            "that are compared, the reference first, or another field of the label (label_field)"
        )
    return labels[0], labels[1]


def compared(
    records: Sequence[PromptRecord],
    tokens: Sequence[Sequence[int]],
    groups: Sequence[str],
    *,
    strata: Sequence[str] = (),
    keep_repeats: bool = False,
    bos: int | None = None,
) -> Compared:
    """Choose the records of two groups.

    Args:
        records: each with its label.
        tokens: of each record.
        groups: the two labels compared, the reference first.
        strata: fields whose values together are a prompt's stratum.
        keep_repeats: compare prompts as often as they come, which weights means by frequency and overstates evidence.
        bos: the token that begins a text, which means and maxima over tokens leave out.

    Raises:
        ValueError: a label no record has, or a field that a record lacks.
    """
    counts = Counter(record.group for record in records)
    for group in groups:
        if not counts[group]:
            listed = ", ".join(f"{label} ({count})" for label, count in sorted(counts.items())) or "none"
            raise ValueError(f"groups: {group!r} labels no prompt; there are {listed}")
    found = Compared([], [], {label: n for label, n in sorted(counts.items()) if label not in groups}, 0)
    seen: set[LabelledTokens] = set()
    repeated = 0
    for record, ids in zip(records, tokens, strict=True):
        if record.group not in groups:
            continue
        first = int(ids[0] == bos and len(ids) > 1)
        prompt = LabelledTokens(tuple(ids), record.group, _stratum(record, strata), first=first)
        if prompt in seen and not keep_repeats:
            repeated += 1
            continue
        seen.add(prompt)
        found.prompts.append(prompt)
        found.records.append(dataclasses.replace(record, fields={**record.fields, "token_ids": list(ids)}))
    return dataclasses.replace(found, repeated=repeated)


def _stratum(record: PromptRecord, strata: Sequence[str]) -> str:
    """The record's values of some fields, at its top or in an object `strata`."""
    inner = record.fields.get("strata")
    placed = {"behaviour": record.behaviour, "split": record.split, "id": record.id, "group": record.group}
    fields = {**placed, **record.fields, **(inner if isinstance(inner, dict) else {})}
    if missing := [name for name in strata if name not in fields]:
        has = ", ".join(sorted(fields))
        raise ValueError(f"{record.where}: has no field {missing[0]!r} to stratify by; it has {has}")
    return ", ".join(f"{name} {fields[name]}" for name in strata)
