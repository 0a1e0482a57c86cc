"""The prompts that a stage will make, made in memory by the same draw, and how many tokens prompts have."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from causeway.engine.prompt_record import PromptRecord


def made(values: Mapping[str, Any]) -> list[PromptRecord]:
    """The prompts that a stage will make."""
    from causeway.engine.analyses.prompts.answer_pieces import text_pieces, token_pieces
    from causeway.engine.analyses.prompts.catalogue import BEHAVIOURS, behaviour
    from causeway.engine.analyses.prompts.make import make_prompts, makes_itself
    from causeway.ports.models.tokenizer import tokenizer_of

    if values["source"]:
        raise LookupError("prompts of a file are read when they are made")
    names = values["behaviours"]
    names = [name for name in BEHAVIOURS if makes_itself(name)] if names == ["all"] else names
    pieces = token_pieces(tokenizer_of(values["model"])) if values["model"] else text_pieces
    found: list[PromptRecord] = []
    for name in names:
        given = {split: values[split] for split in ("train", "test") if values[split] is not None}
        sizes = dataclasses.replace(behaviour(name).sizes, **given)
        for records in make_prompts(name, sizes, values["seed"], pieces, values["templates"]).values():
            found += records
    return found


def states(values: Mapping[str, Any]) -> list[PromptRecord]:
    """The game's states that a stage will make, through the model's chat template where that is asked for."""
    from causeway.engine.tasks.played_states import labelled_records
    from causeway.engine.tasks.slot_machine import MENUS
    from causeway.engine.tasks.slot_states import labelled_prompts

    if values["states"] is None:
        raise LookupError("games are played when the stage runs")
    text = values["wording"]
    found = labelled_records(labelled_prompts(values["seed"], values["states"], MENUS[values["menu"][0]], text), text)
    return _conversations(found, values) if values["chat"] else found


def _conversations(records: list[PromptRecord], values: Mapping[str, Any]) -> list[PromptRecord]:
    """Records as the chat template writes them; no weights are read."""
    from causeway.ports.models.chat_template import read_chat_template
    from causeway.ports.models.load import model_directory
    from causeway.ports.models.model_files import files_of

    template = read_chat_template(files_of(model_directory(values["model"])))
    if template is None:
        raise LookupError("the model has no template")
    first = [{"role": "system", "content": values["system"]}] if values["system"] is not None else []

    def rendered(record: PromptRecord) -> PromptRecord:
        messages = ({"role": "user", "content": record.text},)
        text = template([*first, *messages], values["generation_prompt"])
        return dataclasses.replace(record, text=text, messages=messages)

    return [rendered(record) for record in records]


def token_counts(records: list[PromptRecord], reference: str) -> list[int]:
    """Tokens of each prompt, BOS among them, which of a conversation the template writes."""
    from causeway.ports.models.tokenizer import tokenizer_of

    tokenizer = tokenizer_of(reference)
    first = int(tokenizer.files_prepend_bos)
    return [
        len(one.tokens) if one.tokens
        else first * (not one.messages) + len(tokenizer.encode(one.text, unknown=True)) for one in records
    ]  # fmt: skip
