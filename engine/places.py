"""Places of a prompt by name: a turn of a conversation, a role, or a text, as the tokens that hold it.

Prompts of one set say the same thing at different positions, so an experiment over them names the place, not the
number. Names stand where positions do (`intervention/scope.py`):

    user, assistant, ...    the text of the last message of that role
    turn0, turn1, ...       the text of a message by its number in the conversation
    NAME                    a role that the prompt's record names (`PromptRecord.roles`)
    "a text"                the last place where it stands in the prompt

each with `.first` or `.last` for that token of it alone.

Tokens are matched to text by decoding them one after the other, so a place holds each token of which a part is in it.
Cost: a decoding a token, where a name asks for it.
"""

import bisect
import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from causeway.engine import scalars
from causeway.engine.intervention.scope import numbered, positions_of
from causeway.engine.model.handle import Model
from causeway.engine.prompt_record import PromptRecord

Span = tuple[int, int]
_PLACE = re.compile(r'(?P<name>".+"|[A-Za-z_][\w-]*)(?:\.(?P<end>first|last))?', re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Turn:
    """Where one message stands in a conversation.

    Attributes:
        number: of the message, from 0.
        role: who speaks.
        start, stop: tokens that hold its text, [start, stop), the first and the last perhaps with more than it.
    """

    number: int
    role: str
    start: int
    stop: int

    @property
    def last(self) -> int:
        """The position of its last token."""
        return self.stop - 1


@dataclasses.dataclass(frozen=True)
class Places:
    """A prompt in which places are looked for.

    Attributes:
        model: whose tokens they are.
        text, tokens: of the prompt.
        messages: of a conversation, as they came.
        roles: name -> a token position, or a text whose last token it is.
    """

    model: Model
    text: str
    tokens: tuple[int, ...]
    messages: Sequence[Mapping[str, Any]] = ()
    roles: Mapping[str, int | str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, record: PromptRecord, tokens: Sequence[int]) -> "Places":
        """Those of a record that is run as these tokens."""
        return cls(model, record.text, tuple(tokens), record.messages, record.roles)

    @functools.cached_property
    def borders(self) -> tuple[int, ...]:
        """Where each token's text begins, and the end; all tokens of one character begin with it.

        Raises:
            ValueError: the tokens are not the text's, letter by letter.
        """
        if self.model.tokenizer is None:
            raise ValueError("the prompt is token ids, and its model has no tokenizer to find a text in them")
        begins = self.tokens[0] == self.model.tokenizer.bos_id
        # A begin-of-sequence token that is not written in the text stands before it.
        begun = int(begins and not self.text.startswith(self.model.tokenizer.decode(self.tokens[:1])))
        borders, at = [0] * begun, 0
        for i in range(begun, len(self.tokens)):
            borders.append(at)
            piece = self.model.text_after(self.tokens[:begun], self.tokens[begun : i + 1])
            if self.text.startswith(piece, at):  # half a character is written as a mark that the text does not have
                at, begun = at + len(piece), i + 1
        if at != len(self.text):
            raise ValueError(f"the tokenizer writes {self.text[at : at + 12]!r} otherwise; name positions")
        return (*borders, at)

    @functools.cached_property
    def turns(self) -> tuple[Turn, ...]:
        """The messages whose text stands in the prompt, in order; templates may strip spaces, or leave one out."""
        turns, after = [], 0
        for number, message in enumerate(self.messages):
            content = message["content"].strip()
            at = self.text.find(content, after) if content else -1
            if at >= 0:
                after = at + len(content)
                turns.append(Turn(number, message["role"], *self.letters(at, after)))
        return tuple(turns)

    def letters(self, start: int, stop: int) -> Span:
        """The tokens that hold letters [start, stop) of the text."""
        return bisect.bisect_right(self.borders, start) - 1, bisect.bisect_left(self.borders, stop)

    def text_span(self, text: str) -> Span:
        """The tokens that hold a text, where it stands last.

        Raises:
            ValueError: it is not there.
        """
        at = self.text.rfind(text) if text else -1
        if at < 0:
            missing = "the prompt" if self.text else "the prompt, which is token ids without a text"
            raise ValueError(f"{text!r} is not in {missing}")
        return self.letters(at, at + len(text))

    def role(self, name: str) -> int:
        """The position of a role.

        Raises:
            ValueError: a position that the prompt does not have, a text that is not there or ends within a token.
        """
        place, length = self.roles[name], len(self.tokens)
        if isinstance(place, int):
            if not -length <= place < length:
                raise ValueError(f"roles: {name} is at position {place}; the prompt has {length} tokens")
            return place % length
        at = self.text.rfind(place)
        if at < 0 or not place:
            raise ValueError(f"roles: {name} is {place!r}, which is not in the prompt")
        end = at + len(place)
        if end not in self.borders:
            raise ValueError(f"roles: {name} ({place!r}) ends within a token; give a longer text or a position")
        return self.letters(at, end)[1] - 1

    def find(self, name: str) -> Span:
        """The tokens of a place, [start, stop).

        Args:
            name: as in the module's docstring.

        Raises:
            ValueError: no name of a place, or the prompt has none of it.
        """
        match = _PLACE.fullmatch(scalars.text(name, "place"))
        if not match:
            raise ValueError(f'cannot read the position {name!r}; write 7, -1, 2:5, user.last or "a text"')
        start, stop = self._whole(match["name"])
        return {"first": (start, start + 1), "last": (stop - 1, stop)}.get(match["end"], (start, stop))

    def one(self, place: str, where: str = "position") -> int:
        """The one token that a place is, by number or name; `last` is the last.

        Args:
            where: the argument, for errors.

        Raises:
            ValueError: the prompt has no such place, or it is several tokens.
        """
        if scalars.text(place, where) == "last":
            return len(self.tokens) - 1
        found = positions_of(place, len(self.tokens), where, self.find)
        if len(found) != 1:
            raise ValueError(
                f"{where}: {place!r} is {len(found)} tokens of the prompt; needs one, such as {place}.last"
            )
        return found[0]

    def _whole(self, name: str) -> Span:
        if name.startswith('"'):
            return self.text_span(name[1:-1])
        if name in self.roles:
            return (at := self.role(name)), at + 1
        found = [turn for turn in self.turns if name in (turn.role, f"turn{turn.number}")]
        if not found:
            named = [*self.roles, *dict.fromkeys(turn.role for turn in self.turns)]
            named += [f"turn{turn.number}" for turn in self.turns]
            raise ValueError(f"the prompt has no place {name!r}; it has {', '.join(named) or 'none by name'}")
        return found[-1].start, found[-1].stop

    def scope(self, scope: str) -> str:
        """A scope with numbers in place of names.

        Raises:
            ValueError: see `find`.
        """
        return numbered(scope, self.find)
