"""Prompts with places that can be filled otherwise, and what the right answer is then.

A base is a prompt cut into literals and slots. Two kinds of fillings leave its right answer known:

    insertion       the slot `word`, empty or with a neutral word as the prompt stands: the answers stay
    substitution    a slot that holds the value of a field: the answers are computed where formulas give them, else
                    they are those of the prompt among the given ones that differs in this value alone

A word is inserted where neither the prompt nor an answer has it, so that it never names or repeats what is asked.
Formulas are given by templates (`templates`) and by sums in the phrasings of the set `arithmetic`.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

from causeway.engine import scalars
from causeway.engine.analyses.adversarial.formulas import written
from causeway.engine.analyses.prompts.sets.arithmetic import TEMPLATES
from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_record import CORRECT, INCORRECT, PromptRecord
from causeway.engine.representations import FIELDS

WORD = "word"
HOLE = "{word}"
Parts = tuple[tuple[str, str], ...]
Known = Mapping[tuple[Any, ...], PromptRecord]
_NUMBER = re.compile(r"(\D*)(\d+)(\D*)")


@dataclasses.dataclass(frozen=True)
class Base:
    """A prompt that can be filled otherwise.

    Attributes:
        record: it as it stands. parts: literals, each with the name of the slot after it, "" for none.
        values: of each slot, as it stands. formulas: of both answers, and of fields; none where they are not computed.
        insert: how a word is written in its slot.
    """

    record: PromptRecord
    parts: Parts
    values: Mapping[str, str]
    formulas: Mapping[str, str] = dataclasses.field(default_factory=dict)
    insert: str = HOLE

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from other prompts of its form."""
        return _key(self.parts, self.values)

    def filled(self, slot: str, text: str, known: Known) -> PromptRecord | None:
        """The prompt with another text in a slot, and the answers it then has.

        Args:
            known: prompts by key, whose answers are taken where there are no formulas.

        Returns:
            The record; None where it would be the same, has the word already, or nothing tells its answer.
        """
        if slot not in self.values or self.values[slot] == text:
            return None
        if slot == WORD:
            return None if _has(self.record, text) else self._new(WORD, text, self.insert.replace(HOLE, text))
        values = {**self.values, slot: text}
        if self.formulas:
            return self._computed(slot, text, values)
        other = known.get(_key(self.parts, values))
        return None if other is None else self._named(other, slot, text)

    def _new(self, slot: str, word: str, text: str, **changes: Any) -> PromptRecord:
        record = dataclasses.replace(self.record, text=joined(self.parts, {**self.values, slot: text}), **changes)
        return self._named(record, slot, word)

    def _computed(self, slot: str, text: str, values: Mapping[str, str]) -> PromptRecord | None:
        own = self.record.fields
        scope = {**own, **values}
        found = {name: written(formula, scope) for name, formula in self.formulas.items()}
        right, wrong = found.pop(CORRECT), found.pop(INCORRECT)
        if right == wrong:
            return None
        changed = {**found, **({slot: text} if slot in own else {})}
        typed = {name: int(new) if isinstance(own.get(name), int) else new for name, new in changed.items()}
        answers = (Answer(right, CORRECT), Answer(wrong, INCORRECT))
        return self._new(slot, text, text, answers=answers, fields={**own, **typed})

    def _named(self, record: PromptRecord, slot: str, word: str) -> PromptRecord:
        """A record of its own: what was said of the prompt as it stood does not go with it."""
        fields = {name: value for name, value in record.fields.items() if name not in FIELDS}
        return dataclasses.replace(
            record, id=f"{self.record.id}/{slot}={word}", group=self.record.cluster, counterfactual="",
            roles={name: at for name, at in record.roles.items() if isinstance(at, str)},
            fields={**fields, "base": self.record.id, "slot": slot, "word": word},
        )  # fmt: skip


def known_prompts(bases: Sequence[Base]) -> Known:
    """Prompts by what tells them from others of their form."""
    return {base.key: base.record for base in bases}


def joined(parts: Parts, values: Mapping[str, str]) -> str:
    """The text of parts."""
    return "".join(literal + (values[slot] if slot else "") for literal, slot in parts)


def cut(text: str) -> Parts:
    """A text with {names} as parts.

    Raises:
        ValueError: brackets that do not close, or with something else than a name inside.
    """
    found = []
    for literal, slot, spec, conversion in Formatter().parse(text):
        if slot is not None and (not slot.isidentifier() or spec or conversion):
            raise ValueError(f"got {{{slot}}} in {text[:60]!r}; needs names such as {{a}} and {HOLE}")
        found.append((literal, slot or ""))
    return tuple(found)


def check_plain(record: PromptRecord) -> None:
    """Refuse a prompt into whose text nothing can be put.

    Raises:
        ValueError: messages or token ids.
    """
    if record.messages or record.tokens is not None or not record.text:
        kind = "messages" if record.messages else "token ids"
        raise ValueError(f"has {kind}, into which no word is put; give its text (and --chat for the chat template)")


def check_insert(insert: str) -> str:
    """How a word is written in its place, known to have a hole for it once.

    Raises:
        ValueError: it has not.
    """
    if scalars.text(insert, "insert").count(HOLE) != 1:
        raise ValueError(f"insert: got {insert!r}; needs {HOLE} once, as in '{HOLE} '")
    return insert


def base_of(record: PromptRecord, slots: Sequence[str] = (), insert: str = "", at: str = "") -> Base:
    """A prompt with the values of some of its fields as slots, and perhaps one for a word.

    Args:
        slots: fields whose values stand in the text once.
        insert: how a word is inserted; "" for nowhere.
        at: the field before whose value it is, "" for the beginning.

    Raises:
        ValueError: a field that the prompt lacks, or whose value is not in its text, or more than once.
    """
    check_plain(record)
    parts = _of_template(record, [*slots, at]) or _located(record, [*slots, *([at] if at and at not in slots else [])])
    values = {slot: str(record.fields[slot]) for _, slot in parts if slot}
    if insert:
        place = next((i for i, (_, slot) in enumerate(parts) if slot == at), 0) if at else 0
        literal, slot = parts[place] if at else ("", "")
        word = ((literal, WORD), ("", slot)) if at else (("", WORD), parts[0])
        parts, values = (*parts[:place], *word, *parts[place + 1 :]), {**values, WORD: ""}
    return Base(record, parts, values, _sum_formulas(record), insert or HOLE)


def _key(parts: Parts, values: Mapping[str, str]) -> tuple[Any, ...]:
    return parts, tuple((name, values[name]) for name in sorted(values))


def _has(record: PromptRecord, word: str) -> bool:
    """Whether a prompt or an answer of it has a word, in whatever case."""
    own = " \n ".join([record.text, *(answer.text for answer in record.answers)])
    return bool(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", own, re.IGNORECASE))


def _of_template(record: PromptRecord, wanted: Sequence[str]) -> Parts | None:
    """The parts of the template that a prompt says it was made from, where it was and has the slots."""
    template = record.fields.get("template")
    if not isinstance(template, str):
        return None
    try:
        parts = cut(template)
        same = joined(parts, {slot: str(record.fields[slot]) for _, slot in parts if slot}) == record.text
    except (KeyError, ValueError):
        return None
    return parts if same and {slot for slot in wanted if slot} <= {slot for _, slot in parts} else None


def _located(record: PromptRecord, slots: Sequence[str]) -> Parts:
    """The parts of a text by where the values of fields stand in it."""
    spans = sorted((*_span(record, slot), slot) for slot in slots)
    parts, at = [], 0
    for start, stop, slot in spans:
        if start < at:
            raise ValueError(f"slot {slot!r}: its value stands inside another slot's in {record.text[:60]!r}")
        parts.append((record.text[at:start], slot))
        at = stop
    return (*parts, (record.text[at:], ""))


def _span(record: PromptRecord, slot: str) -> tuple[int, int]:
    if slot not in record.fields:
        raise ValueError(f"has no field {slot!r} for a slot; it has {', '.join(sorted(record.fields)) or 'none'}")
    value = str(record.fields[slot])
    found = list(re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", record.text)) if value else []
    if len(found) != 1:
        raise ValueError(
            f"slot {slot!r}: its value {value!r} stands {len(found)} times in {record.text[:60]!r}; needs to stand once"
        )
    return found[0].span()


def _sum_formulas(record: PromptRecord) -> dict[str, str]:
    """What gives the answers of a sum in a phrasing of the set `arithmetic`; nothing for other prompts."""
    own, numbers = record.fields, [_NUMBER.fullmatch(answer) for answer in (record.correct, record.incorrect)]
    if own.get("template") not in TEMPLATES or not {"a", "b"} <= own.keys() or None in numbers:
        return {}
    (before, right, after), (begin, wrong, end) = (found.groups() for found in numbers if found)
    try:
        total = int(own["a"]) + int(own["b"])
    except (TypeError, ValueError):
        return {}
    if total != int(right):
        return {}
    formulas = {CORRECT: f"{before}{{a+b}}{after}", INCORRECT: f"{begin}{{a+b{int(wrong) - total:+d}}}{end}"}
    return formulas | {name: "{a+b}" for name in ("answer", "final_answer") if name in own}
