"""All settings x prompts and texts as a resumable job.

A unit is one setting, the first one the model as it is. Its neurons are scaled in the weights, which is what the edit
is at all tokens (`engine.scaled_neurons`), and the edited model is read like any other (`engine.reading`): so every
figure is one of the checkpoint that would be written, and all settings run the same programs. Of each item one value
is kept:

    prompt   log P(right answer) - log P(wrong answer), nats: the log odds of the two
    text     mean loss of its next tokens, nats a token, position 0 left out

Shapes: S settings, P prompts, X rows of text, T tokens of a row. Cost: (S + 1) forward passes of everything, logits at
the scored positions alone. Memory: the output maps of the MLPs once more, and [rows, T, V] logits of texts.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from causeway.engine.analyses.edit.settings import Setting
from causeway.engine.analyses.evaluate.teacher_forcing import answer_log_probabilities
from causeway.engine.devices import RowParallel
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import numerics_of
from causeway.engine.model.transformer import Transformer
from causeway.engine.reading.passes import ReadRow
from causeway.engine.reading.read import read
from causeway.engine.reading.reductions import AnswerLogProbabilities
from causeway.engine.scaled_neurons import with_scaled
from causeway.engine.sweep import job
from causeway.engine.sweep.fingerprint import config_sha256
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan
from causeway.engine.tokenized_prompt import TokenizedPrompt

# Version of what a row means; raise it when the same settings would give other numbers.
ROWS_VERSION = "1"
CHOOSING, HELD_OUT, UNRELATED, TEXT = "choosing", "held_out", "unrelated", "unrelated_text"
SETS = (CHOOSING, HELD_OUT, UNRELATED, TEXT)
SCHEMA = pa.schema([("item", pa.int32()), ("value", pa.float64())])
# Logits of texts that are formed at once, at most.
MOST_LOGITS = 1 << 26


@dataclasses.dataclass(frozen=True)
class Items:
    """What edited models are measured on.

    Attributes:
        task: prompts of the task. choosing: of each, whether it chooses; the others are held out.
        unrelated: prompts of other tasks. texts: rows of text.

    Raises:
        ValueError: a prompt that comes twice, in one set or in two.
    """

    task: Sequence[TokenizedPrompt]
    choosing: Bool[np.ndarray, " P"]
    unrelated: Sequence[TokenizedPrompt] = ()
    texts: Sequence[ReadRow] = ()

    def __post_init__(self) -> None:
        first: dict[tuple, str] = {}
        for prompt in (*self.task, *self.unrelated):
            name, key = prompt.record.id or repr(prompt.record.text[:40]), (prompt.tokens, prompt.pair)
            if key in first:
                raise ValueError(f"prompts: {name} has the prompt and answers of {first[key]}; each counts once")
            first[key] = name


@dataclasses.dataclass(frozen=True)
class EditSweep(job.Job):
    """Everything a unit needs.

    Attributes:
        model: loaded. prompts: each with a right and a wrong answer. texts: rows of text. sets: of each prompt, then
            of each text; has no say in what is measured. settings: edited models.
        rows: rows of a pass, per device. parallel: devices to spread rows over.
    """

    model: Model
    prompts: tuple[TokenizedPrompt, ...]
    texts: tuple[ReadRow, ...]
    sets: tuple[str, ...]
    settings: tuple[Setting, ...]
    rows: int
    parallel: RowParallel

    @classmethod
    def of(
        cls, model: Model, items: Items, settings: Sequence[Setting], rows: int, parallel: RowParallel
    ) -> "EditSweep":
        """The sweep of some items.

        Raises:
            ValueError: a neuron that the model does not have.
        """
        for setting in settings:
            setting.scaled.neurons.check_of(model.config)
        sets = [CHOOSING if choosing else HELD_OUT for choosing in items.choosing]
        sets += [UNRELATED] * len(items.unrelated) + [TEXT] * len(items.texts)
        prompts = (*items.task, *items.unrelated)
        return cls(model, prompts, tuple(items.texts), tuple(sets), tuple(settings), rows, parallel)

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        parts = {
            "weights": self.model.fingerprint,
            "prompts": config_sha256([[prompt.tokens, prompt.pair] for prompt in self.prompts]),
            "texts": config_sha256([[list(map(int, row.tokens)), list(row.places)] for row in self.texts]),
            "settings": config_sha256([[setting.names, setting.factors] for setting in self.settings]),
            "version": ROWS_VERSION,
        }
        config = {"numerics": numerics_of(self.model.transformer), "batch_rows": self.rows}
        sizes = (len(self.prompts) + len(self.texts),) * (1 + len(self.settings))
        return Plan("edit", config, parts, sizes, Layout(SCHEMA, "values"), {"model": self.model.name})

    def unit(self, index: int) -> UnitResult:
        """The value of every item in one edited model; of unit 0 in the model as it is."""
        setting = self.settings[index - 1] if index else None
        transformer = self._placed if setting is None else with_scaled(self._placed, setting.scaled)
        try:
            values = [*self._log_odds(transformer), *self._losses(transformer)]
        except NotFiniteError as error:
            raise error.of("the model as it is" if setting is None else f"neurons {setting}") from None
        return UnitResult({"item": np.arange(len(values), dtype=np.int32), "value": np.array(values)})

    @functools.cached_property
    def _placed(self) -> Transformer:
        """The weights, where rows are run: an edited model then shares all that it does not change."""
        return self.parallel.replicate(self.model.transformer)

    def _log_odds(self, transformer: Transformer) -> Float[np.ndarray, " P"]:
        found = answer_log_probabilities(transformer, self.prompts, rows=self.rows, parallel=self.parallel)
        return found[:, 0] - found[:, 1]

    def _losses(self, transformer: Transformer) -> Float[np.ndarray, " X"]:
        out = np.zeros(len(self.texts))
        if not self.texts:
            return out
        config = transformer.config
        width = max(bucket_width(len(row.tokens), config.max_position) for row in self.texts)
        rows = max(1, min(self.rows, MOST_LOGITS // (width * config.vocab_size)))
        parts = read(
            transformer, self.texts, ("final_norm",), None, AnswerLogProbabilities(), layers=(config.num_layers,),
            batch_rows=rows, parallel=self.parallel, name=lambda row: f"text {row + 1}",
        )  # fmt: skip
        for part in parts:
            found = np.where(part.there, part.values["values"].astype(np.float64), 0)
            out[part.rows] = -found.sum(axis=1) / part.there.sum(axis=1)
        return out


@dataclasses.dataclass(frozen=True)
class Values:
    """What was measured.

    Attributes:
        clean: [P + X] in the model as it is, prompts first. edited: [S, P + X].
    """

    clean: Float[np.ndarray, " items"]
    edited: Float[np.ndarray, "S items"]


def measured(sweep: EditSweep, workdir: Path | None = None) -> Values:
    """Run what is missing of a sweep, and read it all.

    Args:
        workdir: where it is kept, and where the same call goes on; None keeps nothing.

    Raises:
        ValueError: the workdir holds another sweep.
        Stopped: by a signal or a full disk; what is finished is kept.
        NotFiniteError: an edited model does not give numbers.
    """
    found = np.stack([table["value"].to_numpy() for table in job.all_tables(sweep, workdir)])
    return Values(found[0], found[1:])


def text_row(model: Model, text: str, length: int) -> ReadRow:
    """The first tokens of a text, at each of which but the first the next one is predicted.

    Args:
        length: most tokens.

    Raises:
        ValueError: no tokenizer, a word that is not in the vocabulary, or fewer than three tokens.
    """
    ids = model.tokens(text, truncate=min(length, model.config.max_position))
    if len(ids) < 3:
        raise ValueError(f"texts: {text[:40]!r} has {len(ids)} tokens; needs three, of which the last is predicted")
    return ReadRow(ids, range(1, len(ids) - 1), ids[2:])
