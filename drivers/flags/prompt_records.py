"""Flags of every command that reads prompt records, and the reading: what cannot be used stops the run, or with
--skip_bad is told and left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from causeway.drivers.flags import chat_flags
from causeway.drivers.flags.flag_values import given
from causeway.drivers.flags.left_out import tell
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord
    from causeway.engine.tokenized_prompt import TokenizedPrompt

FLAGS = take("prompts skip_bad")
Made = TypeVar("Made")


def read(
    check: Callable[[PromptRecord], None] | None = None, flag: str = "prompts", **asked: Any
) -> list[PromptRecord]:  # fmt: skip
    """The records of --prompts, before a model is loaded.

    Args:
        check: raises ValueError for a record that is of no use to the command.
        flag: the one that names the files, where it is another.
        asked: further arguments of `read_prompts`.

    Raises:
        FileNotFoundError, ValueError: the flag is not given, or a file or line cannot be read.
    """
    from causeway.ports.prompts.prompt_files import any_prompt, read_prompts

    paths = given(flag, "files of prompts, a JSON object a line, or folders of such files")
    records, bad = read_prompts(paths, check or any_prompt, **asked, skip_bad=FLAGS.skip_bad)
    tell(bad)
    chat_flags.check(any(record.messages for record in records))
    return records


def rendered(model: Model, records: Sequence[PromptRecord], flag: str = "prompts") -> list[PromptRecord]:
    """Records as they are run, conversations through the model's chat template, of which the first is shown.

    Raises:
        ValueError: a record that cannot be rendered (unless --skip_bad is given), or none that can.
    """
    rendering = chat_flags.rendering(model, records)
    found = usable(records, lambda record: rendering.of(model, record), "rendered", flag)
    chat_flags.show(found)
    return found


def usable(
    records: Sequence[PromptRecord], make: Callable[[PromptRecord], Made], done: str, flag: str = "prompts"
) -> list[Made]:  # fmt: skip
    """What `make` makes of each record, its ValueErrors told and their records left out.

    Args:
        records: of --prompts, or of another `flag`.
        make: raises ValueError for one that cannot be used.
        done: what is done with prompts, such as "scored".

    Raises:
        ValueError: a record that cannot be used (unless --skip_bad is given), or none that can.
    """
    made, bad = [], []
    for record in records:
        try:
            made.append(make(record))
        except ValueError as error:
            place = f"{record.where}: " if record.where else ""
            if not FLAGS.skip_bad:
                raise ValueError(f"--{flag}: {place}{error}; --skip_bad keeps the others") from None
            bad.append(f"{place}{error}")
    tell(bad)
    if records and not made:
        raise ValueError(f"--{flag}: none of {len(records)} prompts can be {done}; the last: {bad[-1]}")
    return made


def scorable(
    model: Model, records: Sequence[PromptRecord], done: str, flag: str = "prompts"
) -> list[TokenizedPrompt]:  # fmt: skip
    """Prompts with a right and a wrong answer and their tokens; one that cannot be scored, or comes again, is bad.

    Args:
        done, flag: see `usable`.

    Raises:
        ValueError: see `usable`.
    """
    from causeway.engine.analyses.evaluate.teacher_forcing import scorable as tokens_of

    first: dict[tuple, str] = {}

    def once(item: PromptRecord) -> TokenizedPrompt:
        if same := first.get(key := (item.text, item.tokens, item.correct, item.incorrect)):
            raise ValueError(f"has the prompt and answers of {same}; each counts once")
        first[key] = item.id
        return tokens_of(model, item)

    return usable(records, once, done, flag)
