"""Lines of prompt files: JSON objects to prompt records and back.

One JSON object a prompt. All fields but the text are optional, and each command says which ones it needs:

    text (or prompt)      the text; or `tokens`, ids that are run unchanged
    messages              in their place a conversation, a list of {"role", "content"}; all three, as it was rendered
    group                 a label: what `screen` compares, and what stays in one split
    answers               a list of {"text", "label", "amount"}; `correct_answer` and `incorrect_answer` are short for
                          two answers with the labels `correct` and `incorrect`
    counterfactual_prompt the text that wants the other answer, or its ids
    roles                 names of places: a token position, or a text in the prompt
    behaviour, split, id  where it belongs; they name files

Every other field is kept as it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from causeway.engine import scalars
from causeway.engine.messages import Message, checked_messages
from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_record import CORRECT, INCORRECT, PromptRecord, check_file_name

TEXT = ("prompt", "text")
PAIR = {CORRECT: "correct_answer", INCORRECT: "incorrect_answer"}
PLACED = ("behaviour", "split", "id", "group")
_READ = {*TEXT, *PAIR.values(), *PLACED, "tokens", "messages", "answers", "roles", "counterfactual_prompt"}
# Whole numbers that a float holds exactly.
_EXACT = 2**53


def parse_record(record: Mapping[str, Any], label_field: str = "group") -> PromptRecord:
    """A prompt from a JSON object.

    Args:
        record: one line of a file.
        label_field: where its label stands.

    Raises:
        ValueError: neither a text nor token ids, or a field that is not what it should be.
    """
    text, tokens, messages = _text(record), _tokens(record, "tokens"), _messages(record)
    if not text and tokens is None and not messages:
        raise ValueError("has neither a text (text or prompt) nor tokens, a list of ids, nor messages; needs one")
    if messages and bool(text) != (tokens is not None):
        raise ValueError("messages: got text or tokens beside them; needs messages alone, or with both as rendered")
    placed = {name: _label(record, name if name != "group" else label_field) for name in PLACED}
    for name in ("behaviour", "split"):
        check_file_name(f"field {name}", placed[name])
    return PromptRecord(
        text, _answers(record), **placed, tokens=tokens, messages=messages, roles=_roles(record),
        counterfactual=_counterfactual(record),
        fields={name: value for name, value in record.items() if name not in _READ},
    )  # fmt: skip


def record_line(record: PromptRecord) -> dict[str, Any]:
    """The JSON object that `parse_record` reads as this record."""
    pair = {PAIR[answer.label]: answer.text for answer in record.answers if answer.label in PAIR}
    told = {
        "prompt" if record.is_pair else "text": record.text,
        "tokens": None if record.tokens is None else list(record.tokens),
        "messages": [dict(message) for message in record.messages],
        **(pair if record.is_pair else {"answers": [_answer_line(answer) for answer in record.answers]}),
        "counterfactual_prompt": _listed(record.counterfactual), "roles": dict(record.roles), **record.fields,
        **{name: getattr(record, name) for name in PLACED},
    }  # fmt: skip
    return {name: value for name, value in told.items() if name in record.fields or value not in ("", None, [], {})}


def parse_answers(values: Any) -> tuple[Answer, ...]:
    """Answers from parsed JSON.

    Raises:
        ValueError: not a list of objects with `text` and `label`, and perhaps `amount`, a finite number.
    """
    if not isinstance(values, list) or not values:
        raise ValueError(f"answers: got {type(values).__name__}; needs a list of {{text, label, amount}}")
    return tuple(_answer(value) for value in values)


def _answer(value: Any) -> Answer:
    if not isinstance(value, dict) or not {"text", "label"} <= value.keys() <= {"text", "label", "amount"}:
        raise ValueError(f"answers: got {scalars.shown(value)}; each answer has text, label and perhaps amount")
    label, amount = _label(value, "label"), value.get("amount")
    if not label:
        raise ValueError(f"answers: field label is {scalars.shown(value['label'])}; needs a text or a number")
    if amount is not None:
        found = scalars.real(amount, "amount")
        # Whole amounts stay as they were written where a float holds them; larger ones are what a float makes of them.
        amount = amount if abs(found) <= _EXACT else found
    return Answer(_string(value, "text", needed=True), label, amount)


def _answer_line(answer: Answer) -> dict[str, Any]:
    amount = {} if answer.amount is None else {"amount": answer.amount}
    return {"text": answer.text, "label": answer.label, **amount}


def _answers(record: Mapping[str, Any]) -> tuple[Answer, ...]:
    """Those of either spelling."""
    short = [name for name in PAIR.values() if record.get(name) is not None]
    if not short:
        return () if record.get("answers") is None else parse_answers(record["answers"])
    if record.get("answers") is not None:
        raise ValueError(f"answers, {short[0]}: got both; needs one of them")
    if missing := [name for name in PAIR.values() if name not in short]:
        raise ValueError(f"has no field {missing[0]}; it has {', '.join(sorted(record))}")
    return tuple(Answer(_string(record, name, needed=True), label) for label, name in PAIR.items())


def _text(record: Mapping[str, Any]) -> str:
    """The text, under either of its names."""
    texts = {_string(record, name) for name in TEXT} - {""}
    if len(texts) > 1:
        raise ValueError("prompt, text: got two that differ; needs one of them")
    return texts.pop() if texts else ""


def _tokens(record: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    tokens = record.get(name)
    if tokens is None:
        return None
    if not isinstance(tokens, list) or not tokens or any(type(token) is not int for token in tokens):
        raise ValueError(f"field {name} is {scalars.shown(tokens)}; needs a list of token ids that is not empty")
    return tuple(tokens)


def _messages(record: Mapping[str, Any]) -> tuple[Message, ...]:
    return () if record.get("messages") is None else checked_messages(record["messages"])


def _counterfactual(record: Mapping[str, Any]) -> str | tuple[int, ...]:
    name = "counterfactual_prompt"
    return (_tokens(record, name) or "") if isinstance(record.get(name), list) else _string(record, name)


def _listed(prompt: str | tuple[int, ...]) -> str | list[int]:
    return prompt if isinstance(prompt, str) else list(prompt)


def _roles(record: Mapping[str, Any]) -> Mapping[str, int | str]:
    roles = record.get("roles") or {}
    if not isinstance(roles, Mapping) or any(type(at) not in (int, str) for at in roles.values()):
        raise ValueError(f"roles: got {scalars.shown(roles)}; needs an object of names to token positions or texts")
    return roles


def _label(record: Mapping[str, Any], name: str) -> str:
    """A text, a number, or true or false, as a text; "" where there is none."""
    value = record.get(name)
    if not isinstance(value, str | int | float | None):
        raise ValueError(f"field {name} is {scalars.shown(value)}; needs a text or a number")
    return "" if value is None else str(value)


def _string(record: Mapping[str, Any], name: str, needed: bool = False) -> str:
    value = record.get(name)
    if not isinstance(value, str | None) or (needed and not value):
        raise ValueError(f"field {name}: got {scalars.shown(value)}; needs a text" + needed * " that is not empty")
    return value or ""


def texts(record: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The named fields of a record, all of them texts that are not empty.

    Raises:
        ValueError: naming the field and what came.
    """
    if missing := [name for name in names if name not in record]:
        raise ValueError(f"has no field {missing[0]}; it has {', '.join(sorted(record)) or 'none'}")
    return [_string(record, name, needed=True) for name in names]
