"""Continuations of many prompts as a resumable job: what `evaluate --generate` and `intervene --generate` run.

A unit is some rows in the order given, generated in one batch (`engine.model.prompts`) in buckets of `ROWS`; its table
has a row for each. What was finished in a workdir is read, not generated again.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine.calls.asked import edit_arrays_of
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.dictionary.digest import dictionary_digest
from causeway.engine.intervention.requests import FeatureEdit
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import numerics_of
from causeway.engine.model.prompts import PromptRows, generate_prompts
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout as Widths
from causeway.engine.model.segments import segment_lengths
from causeway.engine.sweep import job
from causeway.engine.sweep.fingerprint import config_sha256
from causeway.engine.sweep.job import Job
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan

ROWS = 16
UNIT_ROWS = 64
# Version of what a row means; raise it when the same settings would give other numbers.
ROWS_VERSION = "1"


@dataclasses.dataclass(frozen=True)
class Continued:
    """One row: a prompt's tokens, the edits it is continued under, and how errors call it.

    `prompt_id` keys its noise; rows of one id share it.
    """

    tokens: tuple[int, ...]
    prompt_id: int
    name: str
    edits: tuple[FeatureEdit, ...] = ()


@dataclasses.dataclass(frozen=True)
class Continuations(Job):
    """Everything a unit needs.

    Attributes:
        model: loaded.
        rows: what is continued.
        max_new_tokens: most tokens of each.
        temperature: of the draws; 0 takes the most probable token.
        seed: of the draws.
        dictionary: of the edits.
        parallel: devices to spread rows over (default: those of the weights).

    Raises:
        ValueError: a row that with its continuation exceeds the context, naming it, or a setting out of range.
    """

    model: Model
    rows: tuple[Continued, ...]
    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    dictionary: Dictionary | None = None
    parallel: RowParallel | None = None

    def __post_init__(self):
        most = self.model.config.max_position
        for row in self.rows:
            if len(row.tokens) - 1 + self.max_new_tokens > most:
                raise ValueError(
                    f"max_new_tokens: {self.max_new_tokens} after the {len(row.tokens)} tokens of {row.name} exceed "
                    f"the context of {most}; draw fewer"
                )
        _ = self.sampling

    @property
    def sampling(self) -> Sampling:
        """How tokens are drawn."""
        return Sampling(self.temperature, stop_tokens=self.model.stop_ids)

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        count = len(self.rows)
        parts = {
            "weights": self.model.fingerprint,
            "dictionaries": "none" if self.dictionary is None else dictionary_digest(self.dictionary),
            "rows": config_sha256([[row.tokens, row.prompt_id, row.edits] for row in self.rows]),
            "version": ROWS_VERSION,
        }
        config: dict[str, Any] = {
            "numerics": numerics_of(self.model.transformer, self.dictionary), "max_new_tokens": self.max_new_tokens,
            "sampling": dataclasses.asdict(self.sampling), "seed": self.seed, "rows": count,
        }  # fmt: skip
        sizes = tuple(min(UNIT_ROWS, count - start) for start in range(0, count, UNIT_ROWS))
        schema = pa.schema([("name", pa.string()), ("tokens", pa.list_(pa.int32())), ("text", pa.string())])
        return Plan("generate", config, parts, sizes, Layout(schema, "continuations"), {"model": self.model.name})

    def unit(self, index: int) -> UnitResult:
        """The continuations of one unit."""
        chosen = self.rows[index * UNIT_ROWS : (index + 1) * UNIT_ROWS]
        found = generate_prompts(
            self.model.transformer, [self._prompt(row) for row in chosen], dictionary=self.dictionary,
            layout=Widths(ROWS, segment_lengths(self.max_new_tokens)), sampling=self.sampling, seed=self.seed,
            parallel=self.parallel,
        )  # fmt: skip
        tokens = [row.tokens[0][row.tokens[0] >= 0].tolist() for row in found]
        texts = [self.model.continuation(row.tokens, ids) for row, ids in zip(chosen, tokens, strict=True)]
        return UnitResult({"name": [row.name for row in chosen], "tokens": tokens, "text": texts})

    def _prompt(self, row: Continued) -> PromptRows:
        edits = edit_arrays_of([row.edits], len(row.tokens), self.model, self.dictionary, "delta")
        return PromptRows(row.tokens, row.prompt_id, np.zeros(1, np.int64), edits, name=row.name)


@dataclasses.dataclass(frozen=True)
class Continuation:
    """What was written after one prompt: the tokens drawn, a stop token among them, and their text without it."""

    tokens: tuple[int, ...]
    text: str


def written(wanted: Continuations, folder: Path | None) -> list[Continuation] | None:
    """Each row's continuation; None where the run was stopped before its end, to go on when called again.

    Args:
        wanted: the job.
        folder: in which this very job, and others of other settings, have a workdir; None keeps nothing.
    """
    if not wanted.rows:
        return []
    if folder is None:
        found = [pa.table(wanted.unit(index).rows) for index in range(wanted.plan.units)]
    else:
        workdir = folder / f"generated-{wanted.plan.fingerprint[:12]}"
        if job.run(wanted, workdir).stopped:
            return None
        found = list(job.tables(wanted, workdir))
    pairs = (pair for table in found for pair in zip(*(table[n].to_pylist() for n in ("tokens", "text")), strict=True))
    return [Continuation(tuple(tokens), text) for tokens, text in pairs]


def texts(wanted: Continuations, folder: Path) -> list[str] | None:
    """The text of each row's continuation; see `written`."""
    found = written(wanted, folder)
    return None if found is None else [one.text for one in found]
