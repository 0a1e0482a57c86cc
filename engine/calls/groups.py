"""Prompts in named groups, as `screen` and `patch_sweep` take them: {"safe": [...], "risky": [...]}."""

from collections.abc import Mapping, Sequence

from causeway.engine import scalars
from causeway.engine.calls.chat import prompt_places
from causeway.engine.model.handle import Model, Prompt, prompt_list
from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.tokenized_prompt import TokenizedPrompt, tokenized

Groups = Mapping[str, Sequence[Prompt]]


def grouped_prompts(prompts: Groups, model: Model, answers: Sequence[Answer] = ()) -> list[TokenizedPrompt]:
    """All prompts in order and numbered, each once a group: repeats would count as more evidence.

    Args:
        answers: what each of them may be answered with.

    Raises:
        ValueError: no groups by name, something that is no prompt, or answers that merge with one's end.
    """
    if not isinstance(prompts, Mapping) or not prompts or not all(isinstance(name, str) for name in prompts):
        raise ValueError(
            f"prompts: got {scalars.shown(prompts)}; needs groups by name, such as {{'safe': [...], 'risky': [...]}}"
        )
    found: dict[tuple[str, tuple[int, ...]], PromptRecord] = {}
    for group, listed in prompts.items():
        for prompt in prompt_list(listed):
            places = prompt_places(model, prompt)
            given = None if isinstance(prompt, str) else places.tokens
            record = PromptRecord(
                places.text, tuple(answers), group=group, tokens=given, messages=tuple(places.messages)
            )
            found.setdefault((group, places.tokens), record)
    return [tokenized(model, record, number) for number, record in enumerate(found.values())]
