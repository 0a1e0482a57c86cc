"""The prompt record: what every command that takes prompts reads, and what `prompts` and `screen` write.

A text (or token ids), and whatever is known of it: answers, a label, the set it belongs to. `engine/prompt_lines.py`
says what a line of a file looks like. Each command checks what it needs: two answers (`check_pair`), or a label
(`check_group`).
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from causeway.engine import scalars
from causeway.engine.messages import Message
from causeway.engine.outcome.answers import Answer

CORRECT, INCORRECT = "correct", "incorrect"
_FILE_NAME = re.compile(r"[\w-]*")


@dataclasses.dataclass(frozen=True)
class PromptRecord:
    """A prompt and what is known of it.

    Attributes:
        text: "" where only token ids, or messages, are given.
        answers: what it may be answered with; empty where nothing is said.
        behaviour: the set it belongs to, "" where it does not say; so with the next three.
        split: the part of that set.
        id: its name.
        group: its label.
        tokens: ids that are run unchanged in place of the text.
        messages: of a conversation, which a chat template makes a text of (`rendering.py`).
        counterfactual: the text that wants the other answer, or its token ids.
        roles: name -> token position, or a text in the prompt.
        fields: all other fields, as they are.
        where: the file and line it was read from, for messages.
    """

    text: str
    answers: tuple[Answer, ...] = ()
    behaviour: str = ""
    split: str = ""
    id: str = ""
    group: str = ""
    tokens: tuple[int, ...] | None = None
    messages: tuple[Message, ...] = ()
    counterfactual: str | tuple[int, ...] = ""
    roles: Mapping[str, int | str] = dataclasses.field(default_factory=dict)
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    where: str = dataclasses.field(default="", compare=False)

    @property
    def content(self) -> str | list[int]:
        """What is run: token ids where there are some, else the text."""
        return self.text if self.tokens is None else list(self.tokens)

    @property
    def cluster(self) -> str:
        """Its group; a prompt that names none is a group by itself."""
        return self.group or self.text or repr(self.tokens)

    @property
    def is_pair(self) -> bool:
        """Whether its answers are one right and one wrong one."""
        return sorted(answer.label for answer in self.answers) == [CORRECT, INCORRECT]

    @property
    def correct(self) -> str:
        """The right answer (see `check_pair`)."""
        return next(answer.text for answer in self.answers if answer.label == CORRECT)

    @property
    def incorrect(self) -> str:
        """The wrong answer (see `check_pair`)."""
        return next(answer.text for answer in self.answers if answer.label == INCORRECT)


def pair(text: str, correct: str, incorrect: str, behaviour: str = "", split: str = "", **rest: Any) -> PromptRecord:
    """A prompt with a right and a wrong answer; `rest` are further attributes."""
    return PromptRecord(text, (Answer(correct, CORRECT), Answer(incorrect, INCORRECT)), behaviour, split, **rest)


def check_pair(record: PromptRecord) -> None:
    """Refuse a prompt without one right and one wrong answer that differ.

    Raises:
        ValueError: it has others, or none.
    """
    if not record.is_pair:
        got = ", ".join(answer.label for answer in record.answers) or "none"
        raise ValueError(f"answers: got {got}; needs correct_answer and incorrect_answer, or labels correct, incorrect")
    if record.correct == record.incorrect:
        raise ValueError(f"correct_answer and incorrect_answer: both {record.correct!r}; needs two that differ")


def check_group(record: PromptRecord) -> None:
    """Refuse a prompt without a label.

    Raises:
        ValueError: it has none.
    """
    if not record.group:
        raise ValueError("has no label; needs a field group, a text or a number (or --label_field, where there is one)")


def check_file_name(where: str, name: str) -> None:
    """Refuse a name of a behaviour or split that could name a file elsewhere, or none.

    Raises:
        ValueError: other characters than letters, digits, - and _.
    """
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"{where}: got {scalars.shown(name)}; needs letters, digits, - and _, for it names files")
