"""What a run of graphs explains: prompts as token ids, each with its targets and the places that have names.

With a correct and an incorrect answer the target is the difference of their logits at the first token in which they
part; tokens that they share belong to the prompt (`outcome.divergence`).

A role is a name for a place that prompts of a behaviour have in common (subject, operand), however far from the end it
lies: a token position (negative ones count from the prompt's end), or a text in the prompt, whose last token it is.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from causeway.engine.analyses.attribute.targets import Target, logit_difference, named_targets
from causeway.engine.analyses.prompts.prompt import BehaviourPrompt
from causeway.engine.model.handle import Model
from causeway.engine.outcome.divergence import diverging_answers


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


def pair_prompt(model: Model, line: BehaviourPrompt, number: int) -> CircuitPrompt:
    """A prompt whose target is the difference of two answers' logits.

    Args:
        line: its field `roles`, if any, names places, `counterfactual_prompt` a partner. number: its id where it has
            none.

    Raises:
        ValueError: answers that never part, a text that the tokenizer merges with an answer, or a role that is not in
            the prompt; names the prompt.
    """
    name = line.id or str(number)
    try:
        divergence = diverging_answers(model, line.prompt, (line.correct, line.incorrect))
        roles = {role: _position(model, line.prompt, role, at) for role, at in _roles(line).items()}
        correct, wrong = divergence.tokens
        target = logit_difference(correct, wrong, f"{line.correct} - {line.incorrect}")
        model.tokens(divergence.prompt)
        counterfactual = _counterfactual(model, line, divergence.prompt)
    except ValueError as error:
        raise ValueError(f"{error} (prompt {name})") from None
    behaviour, split = line.behaviour or "prompts", line.split or "all"
    return CircuitPrompt(name, behaviour, split, divergence.prompt, (target,), roles, (correct, wrong), counterfactual)


def _counterfactual(model: Model, line: BehaviourPrompt, tokens: tuple[int, ...]) -> tuple[int, ...] | None:
    """The line's counterfactual up to where the answers part; None where it has none that stands token by token beside
    the prompt."""
    text = line.fields.get("counterfactual_prompt")
    if not text:
        return None
    if not isinstance(text, str):
        raise ValueError(f"counterfactual_prompt: got {text!r}; needs a text")
    try:
        other = diverging_answers(model, text, (line.incorrect, line.correct)).prompt
    except ValueError:
        return None
    return other if len(other) == len(tokens) and other != tokens else None


def answers_prompt(model: Model, prompt: str, correct: str, incorrect: str) -> CircuitPrompt:
    """One prompt of no behaviour, explained by the difference of two answers.

    Raises:
        ValueError: see `pair_prompt`.
    """
    return pair_prompt(model, BehaviourPrompt(prompt, correct, incorrect, "prompt", "all", "prompt"), 0)


def named_lines(
    model: Model, lines: Sequence[tuple[int, BehaviourPrompt]], path: Path, skip_bad: bool
) -> tuple[tuple[CircuitPrompt, ...], list[str]]:
    """The prompts of a behaviour's file.

    Args:
        lines: each with its number. path: of the file, for messages, and for the behaviour of lines that name none.
        skip_bad: leave out lines that cannot be explained.

    Returns:
        Prompts, and what was wrong with the lines left out.

    Raises:
        ValueError: a line that cannot be explained (unless `skip_bad`), or none that can.
    """
    prompts, bad = [], []
    for number, line in lines:
        try:
            placed = dataclasses.replace(line, behaviour=line.behaviour or path.stem)
            prompts.append(pair_prompt(model, placed, number))
        except ValueError as error:
            if not skip_bad:
                raise ValueError(f"{path} line {number}: {error}; --skip_bad keeps the other lines") from None
            bad.append(f"{path} line {number}: {error}")
    if not prompts:
        raise ValueError(f"{path}: no line can be explained; the first: {bad[0]}")
    return tuple(prompts), bad


def _roles(line: BehaviourPrompt) -> Mapping[str, int | str]:
    roles = line.fields.get("roles", {})
    if not isinstance(roles, Mapping) or any(type(at) not in (int, str) for at in roles.values()):
        raise ValueError(f"roles: got {roles!r}; needs an object of names to token positions or texts in the prompt")
    return roles


def token_prompt(model: Model, prompt: str, targets: Sequence[str]) -> CircuitPrompt:
    """A prompt explained by named tokens, or by the most probable ones.

    Args:
        targets: texts that are single tokens behind the prompt, or `id:73`; empty for the most probable.

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


def _position(model: Model, prompt: str, name: str, place: int | str) -> int:
    """The token position of a role in the prompt, without what its answers share."""
    ids = model.tokens(prompt)
    if isinstance(place, int):
        if not -len(ids) <= place < len(ids):
            raise ValueError(f"roles: {name} is at position {place}; the prompt has {len(ids)} tokens")
        return place % len(ids)
    found = prompt.rfind(place)
    if found < 0 or not place:
        raise ValueError(f"roles: {name} is {place!r}, which is not in the prompt")
    before = model.tokens(prompt[: found + len(place)])
    if ids[: len(before)] != before:
        raise ValueError(f"roles: {name} ({place!r}) ends within a token; give a longer text or a position")
    return len(before) - 1
