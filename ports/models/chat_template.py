"""A published chat template: messages to the text that an instruct model was trained on.

Templates are programs of Jinja from outside. They run in Jinja's sandbox, which refuses attributes with underscores and
changes of what they are given, with a limit on time, on the size of texts, and on what they write. The settings and
functions are those of transformers (`trim_blocks`, `lstrip_blocks`, `raise_exception`, `strftime_now`, `tojson`), so
that texts are equal to those of its `apply_chat_template`.
"""

import ctypes
import datetime
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from causeway.ports.files.foreign import reason
from causeway.ports.models.model_files import ModelFiles

TEMPLATE = "chat_template.jinja"
CONFIG = "tokenizer_config.json"
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
SECONDS = 5.0
MOST_LETTERS = 1_000_000


class ChatTemplate:
    """The template of one model, compiled.

    Attributes:
        source: its text.
    """

    def __init__(self, source: str, where: str, special: Mapping[str, str]):
        """Compile.

        Args:
            source: the template. where: its file, for errors. special: texts of special tokens, by name.

        Raises:
            ValueError: it is no template.
        """
        self.source, self._where, self._special = source, where, dict(special)
        try:
            self._template = _environment().from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise ValueError(f"{where}: not a chat template ({reason(error)})") from None

    def __call__(self, messages: Sequence[Mapping[str, Any]], generation_prompt: bool = True) -> str:
        """The text of a conversation.

        Args:
            messages: objects with `role` and `content`.
            generation_prompt: whether the text goes on to where the answer begins.

        Raises:
            ValueError: the template refuses the messages, fails, takes too long or writes too much.
        """
        given = {"messages": [dict(message) for message in messages], "add_generation_prompt": generation_prompt}
        try:
            return _in_time(lambda: self._template.render(**self._special, **given))
        except TimeoutError:
            raise ValueError(f"{self._where}: the chat template ran for more than {SECONDS:g} seconds") from None
        except Exception as error:  # templates raise what they like
            raise ValueError(f"{self._where}: the chat template failed ({reason(error)})") from error


def read_chat_template(files: ModelFiles) -> ChatTemplate | None:
    """The template of a model's files; None where there is none.

    Raises:
        ValueError: it is no template.
    """
    config = files.json(CONFIG) if files.has(CONFIG) else {}
    if files.has(TEMPLATE):
        source: Any = files.read(TEMPLATE, MOST_LETTERS).decode(errors="replace")
        where = files.name(TEMPLATE)
    else:
        source, where = config.get("chat_template"), files.name(CONFIG)
    if isinstance(source, list) and all(isinstance(one, dict) for one in source):  # several, by name
        source = next((one.get("template") for one in source if one.get("name") == "default"), None)
    if source is None:
        return None
    if not isinstance(source, str):
        raise ValueError(f"{where}: chat_template is no text")
    named = {name: config.get(name) for name in SPECIAL}
    texts = {name: text.get("content") if isinstance(text, dict) else text for name, text in named.items()}
    return ChatTemplate(source, where, {name: text for name, text in texts.items() if isinstance(text, str)})


class _Generation(Extension):
    """The tag around what an assistant wrote, which some templates have; it changes no text."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with a limit on products, which can be larger than memory."""

    intercepted_binops = frozenset(("*", "**"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(side) if isinstance(side, str | list | tuple) else abs(side) for side in (left, right)]
        if (operator == "*" and sizes[0] * sizes[1] > MOST_LETTERS) or (operator == "**" and sizes[1] > 64):
            raise SecurityError(f"{operator} makes something too large")
        return super().call_binop(context, operator, left, right)


def _environment() -> _Environment:
    environment = _Environment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda pattern: datetime.datetime.now().strftime(pattern)
    return environment


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """JSON without the escapes of HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _in_time(work: Callable[[], str]) -> str:
    """Run in a thread of its own, which is ended when its time is over.

    Raises:
        TimeoutError: it was.
    """
    found: list[str] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if thread.is_alive():
        # Only an exception set from outside ends a loop that calls nothing.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
        raise TimeoutError
    if failed:
        raise failed[0]
    return found[0]
