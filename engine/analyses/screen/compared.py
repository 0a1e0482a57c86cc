"""The prompts of two groups: which records are compared, as which tokens, and within which strata.

Records of other labels are left out and counted, and so are repeats: a prompt run twice has the same values to the bit,
and a test would take the copies for more evidence. The records that were compared echo their `token_ids`; a file of
them is an input again, for the screen and for a sweep.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from causeway.engine.analyses.screen.activations import stratum_of
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.tokenized_prompt import TokenizedPrompt

GAME_LABELS = ("safe", "risky")


@dataclasses.dataclass(frozen=True)
class Compared:
    """Prompts of both groups.

    Attributes:
        prompts: in the order they came, their records with `token_ids`.
        left_out: how many had other labels, by label.
        repeated: how many were left out because their tokens, label and stratum had come before.
    """

    prompts: list[TokenizedPrompt]
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
    prompts: Sequence[TokenizedPrompt],
    groups: Sequence[str],
    *,
    strata: Sequence[str] = (),
    keep_repeats: bool = False,
) -> Compared:
    """Choose the prompts of two groups.

    Args:
        prompts: each with its label.
        groups: the two labels compared, the reference first.
        strata: fields whose values together are a prompt's stratum.
        keep_repeats: compare prompts as often as they come, which weights means by frequency and overstates evidence.

    Raises:
        ValueError: a label no prompt has, or a field that a prompt lacks.
    """
    counts = Counter(prompt.record.group for prompt in prompts)
    for group in groups:
        if not counts[group]:
            listed = ", ".join(f"{label} ({count})" for label, count in sorted(counts.items())) or "none"
            raise ValueError(f"groups: {group!r} labels no prompt; there are {listed}")
    own = [prompt for prompt in prompts if prompt.record.group in groups]
    first: dict[tuple, TokenizedPrompt] = {}
    for prompt in own:
        first.setdefault((prompt.tokens, prompt.record.group, stratum_of(prompt.record, strata)), prompt)
    kept = own if keep_repeats else list(first.values())
    left_out = {label: count for label, count in sorted(counts.items()) if label not in groups}
    return Compared([_echoed(prompt) for prompt in kept], left_out, len(own) - len(kept))


def _echoed(prompt: TokenizedPrompt) -> TokenizedPrompt:
    """The prompt with its tokens among its record's fields."""
    fields = {**prompt.record.fields, "token_ids": list(prompt.tokens)}
    return dataclasses.replace(prompt, record=dataclasses.replace(prompt.record, fields=fields))
