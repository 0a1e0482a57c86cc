"""A conversation as an instruct model is trained on it: messages through the model's own template to tokens.

The template writes everything, the begin-of-sequence token too: no token is added to what it gives. Where each message
stands is found by its text, so positions of a turn can be edited, tapped or explained:

    talk = cw.chat(model, [{"role": "user", "content": "Name a colour."}])
    cw.run(model, list(talk.tokens), edits=[cw.FeatureEdit(2, 7, 4.0, scope=talk.turns[0].last)])
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from causeway.engine import scalars
from causeway.engine.model.handle import Model, check_model

ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclasses.dataclass(frozen=True)
class Turn:
    """Where one message stands in a conversation.

    Attributes:
        role: who speaks.
        start, stop: tokens that hold its text, [start, stop), the first and the last perhaps with more than it.
    """

    role: str
    start: int
    stop: int

    @property
    def first(self) -> int:
        """The position of its first token."""
        return self.start

    @property
    def last(self) -> int:
        """The position of its last token."""
        return self.stop - 1


@dataclasses.dataclass(frozen=True)
class Conversation:
    """What a model is run on.

    Attributes:
        text: as the template wrote it.
        tokens: its ids.
        turns: the messages whose text stands in it unchanged, in order.
        borders: where each token's text begins in `text`, and the end.
    """

    text: str
    tokens: tuple[int, ...]
    turns: tuple[Turn, ...]
    borders: tuple[int, ...] = dataclasses.field(repr=False)

    def span(self, text: str) -> slice:
        """The tokens that hold a text, the last place where it stands; a scope of edits.

        Raises:
            ValueError: it is empty, or not there.
        """
        at = self.text.rfind(text) if isinstance(text, str) and text else -1
        if at < 0:
            raise ValueError(f"text: got {scalars.shown(text)}, which is not in the conversation")
        return slice(*_tokens_of(self.borders, at, at + len(text)))


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
    borders = _borders(model, ids, text)
    return Conversation(text, tuple(ids), tuple(_turns(checked, text, borders)), borders)


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


def _borders(model: Model, ids: Sequence[int], text: str) -> tuple[int, ...]:
    """Where each token begins in a text; all tokens of one character begin with it."""
    borders, at, begun = [], 0, 0
    for i in range(len(ids)):
        borders.append(at)
        piece = model.text_after(ids[:begun], ids[begun : i + 1])
        if text.startswith(piece, at):  # half a character is written as a mark that the text does not have
            at, begun = at + len(piece), i + 1
    return (*borders, len(text))


def _turns(messages: Sequence[Mapping[str, Any]], text: str, borders: Sequence[int]) -> list[Turn]:
    """Messages found one after the other; templates may strip spaces around them, or leave one out."""
    turns, after = [], 0
    for message in messages:
        content = message["content"].strip()
        at = text.find(content, after) if content else -1
        if at >= 0:
            after = at + len(content)
            turns.append(Turn(message["role"], *_tokens_of(borders, at, after)))
    return turns


def _tokens_of(borders: Sequence[int], start: int, stop: int) -> tuple[int, int]:
    """The tokens that hold characters [start, stop)."""
    first = max(i for i, border in enumerate(borders[:-1]) if border <= start)
    last = max(i for i, border in enumerate(borders[:-1]) if border < stop)
    return first, last + 1
