"""Prompts in named groups, as `screen` and `patch_sweep` take them: {"safe": [...], "risky": [...]}."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from causeway.engine import scalars
from causeway.engine.model.handle import Model, Prompt
from causeway.engine.model.prompt_list import prompt_list

Groups = Mapping[str, Sequence[Prompt]]


class Member(NamedTuple):
    """One prompt: its group's name, what was given, and the ids it is run as."""

    group: str
    prompt: Prompt
    tokens: tuple[int, ...]


def members_of(prompts: Groups, model: Model) -> list[Member]:
    """All prompts in order, each once a group: repeats would count as more evidence.

    Raises:
        ValueError: no groups by name, or something that is no prompt.
    """
    if not isinstance(prompts, Mapping) or not prompts or not all(isinstance(name, str) for name in prompts):
        raise ValueError(
            f"prompts: got {scalars.shown(prompts)}; needs groups by name, such as {{'safe': [...], 'risky': [...]}}"
        )
    found: dict[tuple[str, tuple[int, ...]], Member] = {}
    for group, listed in prompts.items():
        for prompt in prompt_list(listed):
            ids = tuple(model.tokens(prompt))
            found.setdefault((group, ids), Member(group, prompt, ids))
    return list(found.values())
