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
from causeway.engine.messages import checked_messages
from causeway.engine.model.handle import Model, Prompt, Template, check_model
from causeway.engine.model.text import Tokenizer
from causeway.engine.places import Places, Turn


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
        generation_prompt: whether the text goes on to where the answer begins, or, after an assistant's message, ends
            with it, so that the model goes on writing that one (`continue_final_message` of transformers).

    Raises:
        ValueError: no template or tokenizer, messages that are not such objects, a template that refuses them or
            changes the one to go on with, or more tokens than the model takes.
    """
    check_model(model)
    scalars.truth(generation_prompt, "generation_prompt")
    checked = checked_messages(messages, system)
    template, tokenizer = template_of(model)
    goes_on = generation_prompt and checked[-1]["role"] == "assistant"
    text = template(checked, generation_prompt and not goes_on)
    text = _open(text, checked[-1]["content"]) if goes_on else text
    ids = model.tokens(tokenizer.encode(text))
    return Conversation(text, tuple(ids), Places(model, text, tuple(ids), checked))


def template_of(model: Model) -> tuple[Template, Tokenizer]:
    """A model's chat template and tokenizer.

    Raises:
        ValueError: it has none.
    """
    if model.chat_template is None or model.tokenizer is None:
        raise ValueError(f"model: {model.name} has no chat template; give its prompts as texts or token ids")
    return model.chat_template, model.tokenizer


def _open(text: str, last: str) -> str:
    """A conversation that ends with its last message, without what the template puts after it."""
    whole, kept = last.lstrip(), last.strip()
    at = text.rfind(kept) if kept else -1
    if at < 0:
        raise ValueError(f"messages: the template does not write {scalars.shown(last)} as it is, which is to go on")
    return text[: at + len(whole if text.startswith(whole, at) else kept)]


def prompt_places(model: Model, prompt: Prompt) -> Places:
    """Where things stand in a prompt of any kind: a conversation knows its turns, and ids alone have no text."""
    if isinstance(prompt, Conversation):
        return prompt.places
    return Places(model, prompt if isinstance(prompt, str) else "", tuple(model.tokens(prompt)))
