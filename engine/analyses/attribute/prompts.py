"""What a run of graphs explains: prompts as token ids, each with its targets and the places that have names.

With a correct and an incorrect answer the target is the difference of their logits at the first token in which they
part; tokens that they share belong to the prompt (`outcome.divergence`).

A role is a name for a place that prompts of a behaviour have in common (subject, operand), however far from the end it
lies: a token position (negative ones count from the prompt's end), or a text in the prompt, whose last token it is.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from causeway.engine.analyses.attribute.targets import Target, logit_difference, named_targets
from causeway.engine.model.handle import Model, Prompt
from causeway.engine.outcome.divergence import diverging_answers
from causeway.engine.places import Places
from causeway.engine.prompt_record import PromptRecord


@dataclasses.dataclass(frozen=True)
class CircuitPrompt:
    """A prompt as it is run.

    Attributes:
        id: distinct in a run. behaviour, split: what it is aggregated with. tokens: ids, those shared by the answers
            included. targets: None takes the most probable next tokens. roles: name -> position in tokens. answers:
            token ids of the two answers, where the target is their difference. counterfactual: tokens of the prompt
            that wants the other answer, where one of the same length is named.
    """

    id: str
    behaviour: str
    split: str
    tokens: tuple[int, ...]
    targets: tuple[Target | int, ...] | None
    roles: Mapping[str, int] = dataclasses.field(default_factory=dict)
    answers: tuple[int, int] | None = None
    counterfactual: tuple[int, ...] | None = None

    def describe(self) -> dict[str, Any]:
        """JSON-able, everything that decides its graph."""
        return {
            "id": self.id,
            "tokens": self.tokens,
            "targets": None if self.targets is None else [_described(target) for target in self.targets],
        }


def _described(target: Target | int) -> Any:
    if isinstance(target, int):
        return target
    return [target.label, {str(token): weight for token, weight in target.weights.items()}, target.probability]


def pair_prompt(model: Model, record: PromptRecord) -> CircuitPrompt:
    """A prompt whose target is the difference of two answers' logits.

    Args:
        record: with a right and a wrong answer; its roles name places, its counterfactual is a partner.

    Raises:
        ValueError: answers that never part, a text that the tokenizer merges with an answer, or a role that is not in
            the prompt.
    """
    divergence = diverging_answers(model, record.content, (record.correct, record.incorrect))
    places = Places.of(model, record, model.tokens(record.content))  # without what its answers share
    roles = {role: places.role(role) for role in record.roles}
    correct, wrong = divergence.tokens
    target = logit_difference(correct, wrong, f"{record.correct} - {record.incorrect}")
    model.tokens(divergence.prompt)
    return CircuitPrompt(
        record.id, record.behaviour, record.split, divergence.prompt, (target,), roles, (correct, wrong),
        _counterfactual(model, record, divergence.prompt),
    )  # fmt: skip


def _counterfactual(model: Model, record: PromptRecord, tokens: tuple[int, ...]) -> tuple[int, ...] | None:
    """The record's counterfactual up to where the answers part; None where none has as many tokens as the prompt."""
    if not record.counterfactual:
        return None
    try:
        other = diverging_answers(model, record.counterfactual, (record.incorrect, record.correct)).prompt
    except ValueError:
        return None
    return other if len(other) == len(tokens) and other != tokens else None


def token_prompt(model: Model, prompt: Prompt, targets: Sequence[str]) -> CircuitPrompt:
    """A prompt explained by named tokens, or by the most probable ones.

    Args:
        targets: texts that are single tokens after the prompt, or `id:73`; empty for the most probable.

    Raises:
        ValueError: a target that is not one token there, or outside the vocabulary.
    """
    tokens = tuple(model.tokens(prompt))
    wanted = named_targets(model, prompt, [_target(text) for text in targets]) if targets else None
    return CircuitPrompt("prompt", "prompt", "all", tokens, wanted)


def _target(text: str) -> int | str:
    """The token id of `id:73`, or the text."""
    number = text.removeprefix("id:")
    return int(number) if number != text and number.isdecimal() else text
