"""A patching sweep: what its units need, checked and placed on the devices, and its plan.

A unit is U consecutive rows of one prompt's list (`design.Rows`), so a prompt's clean pass serves a whole unit and
memory holds one unit whatever the number of trials. Which rows a unit has depends on the plan alone. Two outcomes:

    exact     one pass of one token (and of the inner nodes of the answers) over the layers above the patch
    sampled   rollouts, parsed; arms share their noise, keyed by (seed, prompt, trial, step)
"""

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int

from causeway.engine.analyses.patch_sweep.arms import BASELINE
from causeway.engine.analyses.patch_sweep.design import FeatureSet, Rows, make_rows
from causeway.engine.analyses.patch_sweep.settings import SweepSettings
from causeway.engine.analyses.patch_sweep.sweep_checks import (
    check_answers,
    check_lengths,
    check_prompt,
    check_streamed,
)
from causeway.engine.analyses.patch_sweep.trial_table import exact_schema, sampled_schema
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.chosen import chosen_stack
from causeway.engine.dictionary.digest import dictionary_digest
from causeway.engine.dictionary.placement import Holder, InMemory, StreamedDictionaries
from causeway.engine.intervention import scope as scopes
from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.edits import EMPTY, Edit, EditSpec, Family
from causeway.engine.intervention.hold import HeldLayers, checked_holds
from causeway.engine.intervention.named import named_holds
from causeway.engine.intervention.operations import coefficients
from causeway.engine.intervention.taps import BoundTap
from causeway.engine.intervention.void import check_void
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import numerics_of
from causeway.engine.model.transformer import Transformer
from causeway.engine.model.unrolled import unrolled_off_cpu
from causeway.engine.outcome.answers import AnswerTree, answer_tree
from causeway.engine.outcome.exact import CleanTree, clean_tree
from causeway.engine.places import Places
from causeway.engine.sweep.fingerprint import arrays_sha256, config_sha256
from causeway.engine.sweep.layout import Layout
from causeway.engine.sweep.plan import Plan
from causeway.engine.tokenized_prompt import TokenizedPrompt

# Version of the rows' meaning; raise it when the same settings would give other numbers.
ROWS_VERSION = "2"


@dataclasses.dataclass(frozen=True)
class PatchSweep:
    """Everything a unit needs, placed on the devices; of streamed dictionaries the features that are patched.

    Raises:
        ValueError: prompts without answers, ids or labels that clash, features the dictionaries lack, or prompts and
            answers beyond the context.
    """

    model: Model
    dictionary: Holder
    prompts: tuple[TokenizedPrompt, ...]
    features: FeatureSet
    settings: SweepSettings
    parallel: RowParallel

    def __post_init__(self):
        self.features.check(self.dictionary)
        _ = self.held
        check_streamed(self)
        ids = [prompt.number for prompt in self.prompts]
        if not ids or len(set(ids)) != len(ids):
            raise ValueError(f"prompts: {len(ids)} with {len(set(ids))} distinct ids; give each prompt its own id")
        if self.settings.outcome == "exact" or self.settings.parser == "answers":
            check_answers(self)
        if self.settings.outcome == "sampled":
            check_lengths(self)
        for prompt in self.prompts:
            check_prompt(self, prompt)
        first, sampled = self.prompts[0], self.settings.outcome == "sampled"
        taps = self.settings.recording.taps(self.stack, self.model.config.num_layers)
        for layer in np.unique(self.rows.layer):
            edits = self.edits(first, self.rows.take(self.rows.layer == layer))
            check_edits(edits, self.model.config, self.stack)
            check_void(edits, self.held, self.stack, taps, len(first.tokens) if sampled else None)

    @functools.cached_property
    def stack(self) -> InMemory:
        """The dictionaries in memory; of streamed ones the chosen features, in which edits count them."""
        if isinstance(self.dictionary, StreamedDictionaries):
            return chosen_stack(self.dictionary, self._chosen)
        return self.dictionary

    @functools.cached_property
    def _chosen(self) -> dict[int, Int[np.ndarray, " n"]]:
        """The features of each layer that rows read or write; one of layers whose skip connections alone are needed."""
        rows, skipping = self.rows, self.held.skipping(self.dictionary.config)
        layers = sorted({*rows.layer[rows.layer != EMPTY].tolist(), *skipping})
        ids = np.maximum(np.stack([rows.feature, rows.writer]), 0)
        found = {layer: np.unique(ids[:, rows.layer == layer]) for layer in layers}
        return {layer: mine if len(mine) else np.zeros(1, np.int32) for layer, mine in found.items()}

    def _among_chosen(self, rows: Rows) -> Rows:
        """The rows, their features counted among the chosen ones."""
        ids = np.maximum(np.stack([rows.feature, rows.writer]), 0)
        for layer, mine in self._chosen.items():
            here = rows.layer == layer
            ids[:, here] = np.searchsorted(mine, ids[:, here])
        return dataclasses.replace(rows, feature=ids[0], writer=ids[1])

    @functools.cached_property
    def placed(self) -> tuple[Transformer, InMemory]:
        """Weights and dictionaries on every device.

        Once, and not with every bucket: what is on one device alone is copied to the others by each call.
        """
        return self.parallel.replicate((self.model.transformer, self.stack))

    @functools.cached_property
    def taps(self) -> tuple[BoundTap, ...]:
        """What is recorded of sampled rows, gathered once."""
        return self.settings.recording.taps(self.placed[1], self.model.config.num_layers)

    @functools.cached_property
    def scoring(self) -> Transformer:
        """The placed weights as exact outcomes run them."""
        return unrolled_off_cpu(self.placed[0])

    @property
    def about(self) -> dict[str, str]:
        """What is done to features, for those who read the result: scope, form, operation, rule of the values."""
        s = self.settings
        return {"scope": s.scope, "form": s.form, "operation": s.operation, "values": self.features.rule}

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the answers, in order of first use."""
        return tuple(dict.fromkeys(answer.label for answer in self.prompts[0].record.answers))

    @property
    def edit_spec(self) -> EditSpec:
        """The edits' static part."""
        family: Family = "replace" if self.settings.form == "replace" else "feature"
        return EditSpec(self.dictionary.config.output_stream, family)

    @functools.cached_property
    def rows(self) -> Rows:
        """The rows of every prompt."""
        s = self.settings
        # In delta form the no-op is the baseline to the bit; an exact no-op is cheap and shares the patches' program.
        run_noop = s.outcome == "exact" or s.form == "replace" or BASELINE not in s.arms
        return make_rows(
            self.features, s.arms, self.dictionary, trials=s.trials, seed=s.seed, run_noop=run_noop,
            operation=s.operation,
        )  # fmt: skip

    def answer_tree(self, prompt: TokenizedPrompt) -> AnswerTree:
        """The answers of a prompt as a tree.

        Raises:
            ValueError: answers that cannot be told apart, naming the prompt.
        """
        try:
            return answer_tree(prompt.tokens[-1], prompt.record.answers, prompt.answer_tokens)
        except ValueError as error:
            raise ValueError(f"{error} (prompt {prompt.number})") from None

    def first_edit(self, prompt: TokenizedPrompt) -> int:
        """The first position that any row edits in a prompt.

        It decides how much of the prompt rows share, and so the bits: the plan's own, not a unit's.
        """
        return scopes.intervals(self.scope(prompt), len(prompt.tokens))[0][0]

    @functools.cached_property
    def scope(self) -> Callable[[TokenizedPrompt], str]:
        """Where edits act in a prompt, names of places in it as positions.

        Raises:
            ValueError: naming the prompt, a place that it does not have.
        """

        @functools.cache
        def of(prompt: TokenizedPrompt) -> str:
            try:
                return Places.of(self.model, prompt.record, prompt.tokens).scope(self.settings.scope)
            except ValueError as error:
                raise ValueError(f"scope: {str(error).removeprefix('scope: ')} (prompt {prompt.number})") from None

        return of

    def _placed(self, prompt: TokenizedPrompt) -> dict[str, str]:
        """Where edits act, of scopes that name places; others say it themselves."""
        scope = self.scope(prompt)
        return {"scope": scope} if scope != self.settings.scope else {}

    @functools.cached_property
    def held(self) -> HeldLayers:
        """What rows keep of their prompt's clean pass."""
        return checked_holds(named_holds(self.settings.holds, self.model), self.model.config, self.dictionary)

    @functools.cached_property
    def clean(self) -> Callable[[TokenizedPrompt], CleanTree]:
        """A prompt's clean pass for exact outcomes; the last is kept, because units come prompt by prompt."""

        def run(prompt: TokenizedPrompt) -> CleanTree:
            tree = self.answer_tree(prompt)
            try:
                return clean_tree(
                    self.placed[0], prompt.tokens, tree, self.first_edit(prompt), self.held, self.placed[1]
                )
            except NotFiniteError as error:
                raise error.of(f"prompt {prompt.number}") from None

        return functools.lru_cache(maxsize=2)(run)

    def edits(self, prompt: TokenizedPrompt, rows: Rows) -> tuple[Edit, ...]:
        """Rows as edits of a prompt."""
        rows = self._among_chosen(rows) if isinstance(self.dictionary, StreamedDictionaries) else rows
        bounded = bool(np.isfinite(coefficients(self.settings.operation, 0.0)[2:]).any())
        return (rows.edit(self.edit_spec, self.scope(prompt), len(prompt.tokens), bounded),)

    @property
    def unit_rows(self) -> int:
        """U."""
        return self.settings.rows * self.settings.unit_buckets

    @property
    def prompt_units(self) -> int:
        """Units of a prompt."""
        return -(-len(self.rows) // self.unit_rows)

    def part(self, index: int) -> tuple[TokenizedPrompt, slice]:
        """The prompt and the rows of a unit."""
        prompt, part = divmod(index, self.prompt_units)
        start = part * self.unit_rows
        return self.prompts[prompt], slice(start, min(start + self.unit_rows, len(self.rows)))

    def bucket(self, index: int) -> int:
        """Row bucket of a unit."""
        return self.settings.bucket(index // self.prompt_units)

    def rebucketed(self, *narrower: tuple[int, int]) -> "PatchSweep":
        """The same sweep with these as `SweepSettings.narrower`; what is placed on the devices is shared."""
        other = copy.copy(self)
        object.__setattr__(other, "settings", dataclasses.replace(self.settings, narrower=narrower))
        other.__dict__.pop("plan", None)
        return other

    def array_rows(self, index: int) -> Int[np.ndarray, " rows"]:
        """Where a unit's rows lie in the dense arrays: unit u owns rows [u * U, u * U + its own]."""
        _, chosen = self.part(index)
        most = min(self.unit_rows, len(self.rows))
        return index * most + np.arange(chosen.stop - chosen.start)

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        count = len(self.rows)
        sizes = [min(self.unit_rows, count - start) for start in range(0, count, self.unit_rows)]
        schema = exact_schema(self.labels) if self.settings.outcome == "exact" else sampled_schema()
        arrays = self.settings.recording.arrays(sum(self.settings.segments), self.dictionary.num_features)
        parts = {
            "weights": self.model.fingerprint,
            "dictionaries": dictionary_digest(self.dictionary),
            "tokenizer": self.model.tokenizer.fingerprint if self.model.tokenizer else "none",
            "prompts": config_sha256([described(prompt) | self._placed(prompt) for prompt in self.prompts]),
            "features": arrays_sha256(
                {"layer": self.features.layer, "feature": self.features.feature, **self.features.values}
            ),
            "rows": ROWS_VERSION,
        }
        config: dict[str, Any] = {
            "numerics": numerics_of(self.model.transformer, self.dictionary),
            "settings": self.settings.describe(),
            "prompts": len(self.prompts),
            "features": len(self.features.layer),
        }
        rows, layout = tuple(sizes * len(self.prompts)), Layout(schema, "trials", arrays)
        return Plan("patch_sweep", config, parts, rows, layout, {"model": self.model.name}, self._versions())

    def _versions(self) -> tuple[tuple[int, str], ...]:
        """The plans that went before: each without the narrower buckets that came after.

        Of each the units before the first prompt that any of these reaches are left: a later one may begin earlier.
        """
        narrower = self.settings.narrower
        return tuple(
            (
                min(first for first, _ in narrower[place:]) * self.prompt_units,
                self.rebucketed(*narrower[:place]).plan.fingerprint,
            )
            for place in range(len(narrower))
        )


def described(prompt: TokenizedPrompt) -> dict[str, Any]:
    """What of a prompt decides its rows."""
    record = prompt.record
    return {
        "id": prompt.number, "group": record.group, "text": record.text, "tokens": prompt.tokens,
        "answers": [dataclasses.asdict(answer) for answer in record.answers], "answer_tokens": prompt.answer_tokens,
    }  # fmt: skip
