"""Prompt records as an instruct model sees them: messages, or a text as the user's, through the chat template.

A record that is rendered has the template's `text`, its `tokens`, which are run unchanged, and its `messages`, so that
whatever comes after works on it as on any other, and a file of such records is run again as it is.
"""

import dataclasses
from collections.abc import Sequence

from causeway.engine.calls.chat import Conversation, chat, template_of
from causeway.engine.messages import Message, checked_messages
from causeway.engine.model.handle import Model
from causeway.engine.prompt_record import PromptRecord


@dataclasses.dataclass(frozen=True)
class Rendering:
    """What becomes of records.

    Attributes:
        texts: whether a text without messages is rendered too, as the user's message.
        system: text of a system message before each conversation; None leaves it to the template.
        generation_prompt: see `chat`.
    """

    texts: bool = False
    system: str | None = None
    generation_prompt: bool = True

    def check(self, model: Model, records: Sequence[PromptRecord]) -> None:
        """Refuse a model that cannot render what is to be rendered.

        Raises:
            ValueError: it has no chat template.
        """
        if any(self._concerns(record) and record.tokens is None for record in records):
            template_of(model)

    def _concerns(self, record: PromptRecord) -> bool:
        return self.texts or bool(record.messages)

    def of(self, model: Model, record: PromptRecord) -> PromptRecord:
        """A record as it is run; unchanged if it has no messages, or has been rendered before.

        Its counterfactual is the conversation with that text in place of the user's last one.

        Raises:
            ValueError: token ids without messages, a counterfactual without a user's message to stand for, a rendered
                record that is to be rendered otherwise, or what `chat` refuses.
        """
        if not self._concerns(record):
            return record
        if record.tokens is not None:
            return self._as_it_is(record)
        messages = record.messages or ({"role": "user", "content": record.text},)
        talk = self._talk(model, messages)
        other = record.counterfactual
        if other and isinstance(other, str):
            other = self._talk(model, _with_users_text(messages, other)).tokens
        return dataclasses.replace(
            record, text=talk.text, tokens=talk.tokens, messages=tuple(talk.places.messages), counterfactual=other
        )

    def _talk(self, model: Model, messages: tuple[Message, ...]) -> Conversation:
        return chat(model, messages, system=self.system, generation_prompt=self.generation_prompt)

    def _as_it_is(self, record: PromptRecord) -> PromptRecord:
        if not record.messages:
            raise ValueError("tokens: are run as they are, with no chat template around them; give text or messages")
        if self.system is not None or not self.generation_prompt:
            raise ValueError("tokens: the conversation is rendered already; give its messages alone to change that")
        return record


def _with_users_text(messages: tuple[Message, ...], text: str) -> tuple[Message, ...]:
    """The messages with another text of the user's, where the last one stands."""
    users = [number for number, message in enumerate(messages) if message["role"] == "user"]
    if not users:
        raise ValueError("counterfactual_prompt: stands for the user's last message, and the conversation has none")
    changed = [*checked_messages(messages)]
    changed[users[-1]] = {**changed[users[-1]], "content": text}
    return tuple(changed)
