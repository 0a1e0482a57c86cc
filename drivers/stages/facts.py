"""What is known of the stages of a study before they run: shapes of models and dictionaries, tokens of prompts.

Read from configurations, headers and prompt files; prompts that a stage has yet to make are made here, in memory, by
the same draw. What cannot be read is unknown, and what is wrong with it is told by the stage itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from causeway.drivers.stages.made_prompts import made, states, token_counts
from causeway.drivers.stages.shapes import dictionary_shape, model_shape
from causeway.engine.analyses.study.commands import Command
from causeway.engine.analyses.study.costs import DictionaryShape, Facts
from causeway.engine.analyses.study.feature_costs import responses
from causeway.engine.analyses.study.records import Places
from causeway.engine.analyses.study.standing import Standing
from causeway.engine.prompt_record import PromptRecord

# Drivers that take a bundled model's transcoders where no dictionaries are given.
TRANSCODERS = ("attribute", "intervene", "virtual_weights")
# Files that hold all prompts of a stage.
_ALL = ("metadata.jsonl", "prompts.jsonl")


class Known:
    """Looks up what is known of stages; each thing once."""

    def __init__(self, commands: Mapping[str, Command], standings: Mapping[str, Standing], places: Places):
        """Args: of the study."""
        self._commands, self._standings, self._places = commands, standings, places

    def __call__(self, name: str) -> Facts:
        """What is known of a stage."""
        values, driver = self._commands[name].resolved, self._commands[name].stage.driver
        reference = str(values.get("model") or "")
        found = _or_none(self._records, name)
        # Of what is only made the number counts.
        lengths = found and ([0] * len(found) if driver == "prompts" else _or_none(token_counts, found, reference))
        return Facts(
            values, lengths, len({(record.behaviour, record.split) for record in found or ()}),
            _or_none(model_shape, reference) if reference else None,
            _or_none(self._dictionaries, name),
            _or_none(self._directions, name), _or_none(self._neurons, name), _or_none(self._patched, name),
            _or_none(self._responses, name),
        )  # fmt: skip

    def _records(self, name: str) -> list[PromptRecord]:
        """The prompts of a stage.

        Raises:
            LookupError: they are not known yet.
        """
        command = self._commands[name]
        if command.stage.driver == "prompts":
            return made(command.resolved)
        if command.stage.driver == "screen" and not (command.resolved["prompts"] or "prompts" in command.stage.takes):
            return states(command.resolved)
        if command.stage.driver == "select" and "results" in command.stage.takes:
            return self._records(self._taken(name, "results").stage.name)
        from causeway.ports.prompts.prompt_files import read_prompts

        behaviours, splits = (command.resolved.get(flag) or () for flag in ("behaviours", "splits"))
        if "representations" in command.stage.takes:
            return [one for take in command.stage.takes["representations"] for one in self._records(take.stage)]
        if "prompts" not in command.stage.takes:
            return read_prompts(command.resolved["prompts"], behaviours=behaviours, splits=splits)[0]
        found: list[PromptRecord] = []
        for take in command.stage.takes["prompts"]:
            path = self._places.folder(take.stage) / take.place
            if self._standings[take.stage].fresh:
                found += read_prompts([path], behaviours=behaviours, splits=splits)[0]
            else:
                found += [one for one in self._records(take.stage) if take.place in ("", _file(one), *_ALL)]
        return [
            one
            for one in found
            if (not behaviours or one.behaviour in behaviours) and (not splits or one.split in splits)
        ]

    def _dictionaries(self, name: str) -> DictionaryShape:
        """Those of a stage; LookupError where it has none."""
        return _dictionaries(self._commands[name].stage.driver, self._commands[name].resolved)

    def _patched(self, name: str) -> int:
        """How many features a stage sets at most: so many of each layer of a screen, or those that `select` keeps."""
        values, giver, shape = self._commands[name].resolved, self._taken(name, "features"), self._dictionaries(name)
        chooser = giver.resolved if giver.stage.driver == "select" else values
        each = min(chooser["per_layer"], shape.features) * shape.layers
        return min(each, chooser.get("top_total") or each, values["limit_features"] or each)

    def _responses(self, name: str) -> int:
        """How many texts a stage reads: those that the sweep it takes writes."""
        return responses(self(self._taken(name, "results").stage.name))

    def _taken(self, name: str, flag: str) -> Command:
        """The stage that gives a flag; LookupError where none does."""
        return self._commands[self._commands[name].stage.takes[flag][0].stage]

    def _directions(self, name: str) -> int:
        """How many directions a stage looks along; without any, along the difference of a prompt's answers."""
        if not self._commands[name].resolved["directions"]:
            return 1
        values = self._taken(name, "directions").resolved
        methods = {"correct": 3, "margin": 2}[values["labels"]] if not values["methods"] else len(values["methods"])
        return methods * (values["methods"] != ["none"]) + len(values["token_directions"]) + values["answers_direction"]

    def _neurons(self, name: str) -> int:
        """How many neurons a stage looks at, those that `rank` gives it at most."""
        if "components" in self._commands[name].stage.takes:
            return self._neurons(self._taken(name, "components").stage.name)
        values, ranked = self._commands[name].resolved, self._taken(name, "neurons").resolved
        return ranked["keep_layers"] * min(ranked["keep"], values["limit_neurons"] or ranked["keep"])


def _file(record: PromptRecord) -> str:
    return f"{record.behaviour}_{record.split}.jsonl"


def facts_alone(driver: str, values: Mapping[str, Any], lengths: Sequence[int], patched: int) -> Facts:
    """What is known of a command that is no stage.

    Args:
        values: of its flags. lengths: tokens of its prompts. patched: features that are set, or followed.
    """
    model, dictionaries = _or_none(model_shape, values["model"]), _or_none(_dictionaries, driver, values)
    return Facts(values, lengths, 1, model, dictionaries, patched=patched)


def _dictionaries(driver: str, values: Mapping[str, Any]) -> DictionaryShape:
    """Those of a driver's flags; LookupError where it has none."""
    reference, dictionaries = str(values.get("model") or ""), str(values.get("dictionaries") or "")
    if not dictionaries and reference.startswith("bundled:"):
        dictionaries = reference + "/transcoders" * (driver in TRANSCODERS)
    if not dictionaries:
        raise LookupError("none are given")
    return dictionary_shape(dictionaries, tuple(values.get("layers") or ()))


def _or_none(look: Any, *given: Any) -> Any:
    """What can be looked up, None for what cannot."""
    try:
        return look(*given)
    except (ValueError, OSError, LookupError, TypeError):
        return None
