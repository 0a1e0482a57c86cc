"""A conversation as an instruct model is trained on it: messages through the model's own template to tokens.

The template writes everything, the begin-of-sequence token too: no token is added to what it gives. Where each message
stands is found by its text, so positions of a turn can be edited, tapped or explained:

    talk = cw.chat(model, [{"role": "user", "content": "Name a colour."}])
    cw.run(model, talk, edits=[cw.FeatureEdit(2, 7, 4.0, scope=talk.place("user.last"))])
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from causeway.engine import scalars
from causeway.engine.model.handle import Model, check_model
from causeway.engine.places import Places, Turn

ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclasses.dataclass(frozen=True)
class Conversation(Sequence[int]):
    """What a model is run on: a sequence of token ids, and so a prompt wherever one is taken.

    Attributes:
        text: as the template wrote it.
        tokens: its ids.
        places: finds its turns and texts.
    """

    text: str
    tokens: tuple[int, ...]
    places: Places = dataclasses.field(repr=False, compare=False)

    def __getitem__(self, index: Any) -> Any:
        """One id, or those of a slice."""
        return self.tokens[index]

    def __len__(self) -> int:
        """How many tokens it has."""
        return len(self.tokens)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The messages whose text stands in it unchanged, in order."""
        return self.places.turns

    def span(self, text: str) -> slice:
        """The tokens that hold a text, the last place where it stands; a scope of edits.

        Raises:
            ValueError: it is empty, or not there.
        """
        return slice(*self.places.text_span(scalars.text(text, "text")))

    def place(self, name: str) -> slice:
        """The tokens of a place by its name, as user, turn0.last or "a text" (`engine/places.py`); a scope of edits.

        Raises:
            ValueError: no such name, or the conversation has no such place.
        """
        return slice(*self.places.find(name))


def chat(
    model: Model, messages: Sequence[Mapping[str, Any]], *, system: str | None = None, generation_prompt: bool = True
) -> Conversation:
    """Render messages with the model's chat template.

    Args:
        model: with a template in its files.
        messages: objects with `role` (system, developer, user, assistant or tool) and `content`, a text.
        system: put before them as a system message; None leaves that to the template, which may have one of its own.
        generation_prompt: whether the text goes on to where the answer begins.

    Raises:
        ValueError: no template or tokenizer, messages that are not such objects, a template that refuses them, or more
            tokens than the model takes.
    """
    check_model(model)
    scalars.truth(generation_prompt, "generation_prompt")
    checked = _checked(messages, system)
    if model.chat_template is None or model.tokenizer is None:
        raise ValueError(f"model: {model.name} has no chat template; give its prompts as texts or token ids")
    text = model.chat_template(checked, generation_prompt)
    ids = model.tokens(model.tokenizer.encode(text))
    return Conversation(text, tuple(ids), Places(model, text, tuple(ids), checked))


def _checked(messages: Any, system: Any) -> list[dict[str, Any]]:
    if not isinstance(messages, list | tuple) or not messages:
        raise ValueError(f"messages: got {scalars.shown(messages)}; needs a list of objects with role and content")
    found = []
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
            raise ValueError(f"messages: number {number} is {scalars.shown(message)}; needs role and content, a text")
        if message.get("role") not in ROLES:
            came = scalars.shown(message.get("role"))
            raise ValueError(f"messages: number {number} has the role {came}; needs one of {', '.join(ROLES)}")
        found.append(dict(message))
    if system is None:
        return found
    if not isinstance(system, str) or any(message["role"] == "system" for message in found):
        raise ValueError(f"system: got {scalars.shown(system)}; needs a text, and no system message beside it")
    return [{"role": "system", "content": system}, *found]
