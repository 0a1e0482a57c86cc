"""`cw.effects`: how much each of many edits changes what a model answers, on many prompts, with intervals.

    change[p, a] = target of prompt p under arm a - target of prompt p

The target is a logit difference at the last token, the same for all prompts or one a prompt. Every prompt is run once;
an arm then runs from its first edited layer and token on (`outcome.from_clean`), and no logits are formed that the
target does not need. So ablating every head at the last token costs half a pass of one token a head, whatever the
prompt's length; at all tokens, half a pass of the prompt.

The unit of the statistics is the prompt: effect, interval and p come from `stats.paired`, q from `stats.multiple` over
all arms. Arms that are chosen by their effects are to be estimated on other prompts: `table` takes some of them.
"""

import dataclasses
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, cast

import jax
import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from causeway.engine import scalars
from causeway.engine.analyses.attribute.targets import Target, Wanted, one_target, target_weights, unembedding_vector
from causeway.engine.calls.asked import Arms, Asked, Row, asked
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.placement import Holder
from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.edit_arrays import edit_arrays
from causeway.engine.intervention.edits import EMPTY, Edit
from causeway.engine.intervention.hold import AnyHolds
from causeway.engine.intervention.void import check_void
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.handle import Model, Prompt, check_model, prompt_list
from causeway.engine.outcome.clean_passes import clean_passes, group_size
from causeway.engine.outcome.from_clean import Background, clean_last, last_tokens
from causeway.engine.progress import Step
from causeway.engine.stats.multiple import Method, adjust
from causeway.engine.stats.paired import paired_mean


@dataclasses.dataclass(frozen=True)
class Effects:
    """The target of each prompt under each arm.

    Attributes:
        values: the target under each arm [P, A].
        clean: without an edit [P].
    """

    values: Float[np.ndarray, "P A"]
    clean: Float[np.ndarray, " P"]

    @property
    def changes(self) -> Float[np.ndarray, "P A"]:
        """What each arm changes: its target less the clean one."""
        return self.values - self.clean[:, None]

    def table(
        self, prompts: Sequence[int] | slice | np.ndarray | None = None, *, share: bool = False,
        correction: Method = "bh", confidence: float = 0.95,
    ) -> pa.Table:  # fmt: skip
        """A row for each arm: its mean change over prompts, with interval, p, and q over all arms.

        Args:
            prompts: numbers of the prompts that estimate, a slice or a mask of them; default: all.
            share: changes as shares of the mean clean target of these prompts.
            correction: of q: bh, or by for any dependence.
            confidence: of the intervals.

        Raises:
            ValueError: prompts that there are not, or none.
        """
        chosen = _chosen(prompts, len(self.clean))
        found = paired_mean(self.changes[chosen].T, confidence=confidence)
        scale = self.clean[chosen].mean() if share else 1.0
        ends = np.sort([found.low / scale, found.high / scale], axis=0)
        return pa.table(
            {
                "arm": np.arange(self.values.shape[1]), "effect": found.effect / scale, "low": ends[0],
                "high": ends[1], "p": found.p, "q": adjust(found.p, correction).q, "prompts": found.prompts,
            }
        )  # fmt: skip

    def __repr__(self) -> str:
        mean = self.changes.mean(axis=0)
        most = int(np.abs(mean).argmax())
        return (
            f"Effects({len(self.clean)} prompts, {len(mean)} arms; clean {self.clean.mean():.3f}; most: arm {most}, "
            f"{mean[most]:+.3f})"
        )


def _chosen(prompts: Any, count: int) -> Int[np.ndarray, " p"]:
    """Numbers of some prompts."""
    every = np.arange(count)
    if prompts is None:
        return every
    try:
        found = np.atleast_1d(every[prompts if isinstance(prompts, slice) else np.asarray(prompts)])
    except IndexError:
        found = every[:0]
    if not found.size:
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs some of the numbers 0..{count - 1}, or a mask")
    return found


def effects(
    model: Model,
    prompts: Prompt | Sequence[Prompt],
    target: Wanted | Sequence[Wanted],
    arms: Arms,
    *,
    dictionary: Holder | None = None,
    holds: AnyHolds = "open",
    parallel: RowParallel | None = None,
) -> Effects:
    """The target of every prompt under every arm, each computed exactly and from the prompt's clean pass.

    Args:
        model: a loaded model.
        prompts: texts or lists of token ids.
        target: what is measured at the last token: `logit_difference(...)`, another `Target`, or a token by id or text
            (its logit less the mean one); or a list of them, one a prompt.
        arms: lists of edits, as for `run`; or one such list of arms a prompt, all of one number.
        dictionary: what feature edits read with.
        holds: what stays as in the clean pass of each prompt.
        parallel: devices to spread rows over (default: those of the weights).

    Raises:
        ValueError: arms, targets or prompts that cannot mean what they say, or edits of tokens that a prompt lacks.
        NotFiniteError: a pass does not give numbers.
    """
    check_model(model)
    call = asked(model, prompts, dictionary, (), arms, holds, ())
    measured = _measured(model, prompt_list(prompts), target, call)
    values, clean = np.zeros((len(call.tokens), len(call.rows[0]))), np.zeros(len(call.tokens))
    with Step("effects of arms", len(call.tokens), "prompt") as step:
        for group in _groups(model, call):
            values[group.numbers], clean[group.numbers] = _of_group(model, call, group, measured, parallel)
            step.advance(len(group.numbers))
    return Effects(values, clean)


@dataclasses.dataclass(frozen=True)
class _Group:
    """Prompts that are run together: their numbers [p], and the slots of all their rows [p A, E]."""

    numbers: Int[np.ndarray, " p"]
    edits: tuple[Edit, ...]


@dataclasses.dataclass(frozen=True)
class _Measured:
    """What each prompt's last token is multiplied by [P, W]: the stream after the final norm, or its logits."""

    vectors: Float[np.ndarray, "P W"]
    logits: bool


def _measured(model: Model, prompts: Sequence[Prompt], target: Wanted | Sequence[Wanted], call: Asked) -> _Measured:
    """Logits are formed where they are capped or edited; else a target is a direction."""
    several = not isinstance(target, Target | int | str) and isinstance(target, Iterable)
    listed: list[Wanted] = list(cast(Iterable[Wanted], target)) if several else [cast(Wanted, target)] * len(prompts)
    if len(listed) != len(prompts):
        raise ValueError(f"target: got {len(listed)} targets for {len(prompts)} prompts; needs one, or one a prompt")
    logits = bool(model.config.logit_softcap) or any(
        getattr(edit, "stream", "") == "logits" for rows in call.rows for row in rows for edit in row
    )
    weigh = target_weights if logits else unembedding_vector
    found = [one_target(model, prompt, wanted) for prompt, wanted in zip(prompts, listed, strict=True)]
    return _Measured(np.stack([np.float64(weigh(model, one)) for one in found]), logits)


def _groups(model: Model, call: Asked) -> Iterator[_Group]:
    """Prompts of one bucket whose rows have the same kinds and numbers of slots, as many as are kept at a time."""
    made: dict[tuple[int, int], tuple[Edit, ...]] = {}
    alike: dict[Hashable, list[int]] = {}
    arrays: list[tuple[Edit, ...]] = []
    for number, (ids, rows) in enumerate(zip(call.tokens, call.rows, strict=True)):
        # Arms that are the same for all prompts are the same arrays for all prompts of one length.
        key = len(ids), id(rows)
        if key not in made:
            made[key] = _arrays(rows, len(ids), model, call)
        arrays.append(made[key])
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(arrays[-1]))
        kind = bucket_width(len(ids)), jax.tree.structure(arrays[-1]), shapes
        alike.setdefault(kind, []).append(number)
    for same in alike.values():
        size = group_size(model.config, bucket_width(len(call.tokens[same[0]])))
        for start in range(0, len(same), size):
            numbers = same[start : start + size]
            edits = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(arrays[number] for number in numbers))
            yield _Group(np.array(numbers), edits)


def _arrays(rows: Sequence[Row], length: int, model: Model, call: Asked) -> tuple[Edit, ...]:
    """A prompt's arms as slots [A, E], checked.

    Raises:
        ValueError: a slot that acts at no token of the prompt, or what edits refuse.
    """
    edits = edit_arrays(rows, length, model.config, call.dictionary)
    # Rows that need a whole dictionary may be of several layers: those of one run together.
    alone = any(edit.spec.one_layer(call.dictionary) for edit in edits)
    for some in [slice(row, row + 1) for row in range(len(rows))] if alone else [slice(None)]:
        check_edits(jax.tree.map(lambda a, some=some: a[some], edits), model.config, call.dictionary)
    check_void(edits, call.held, call.dictionary)
    for edit in edits:
        if ((np.asarray(edit.start) >= length) & (np.asarray(edit.layer) != EMPTY)).any():
            raise ValueError(f"arms: an edit acts at no token of a prompt of {length}, which is all that is run")
    return edits


def _of_group(
    model: Model, call: Asked, group: _Group, measured: _Measured, parallel: RowParallel | None
) -> tuple[Float[np.ndarray, "p A"], Float[np.ndarray, " p"]]:
    """The targets of some prompts, under each arm and clean."""
    count, vectors = len(call.rows[0]), measured.vectors[group.numbers]
    prompts = np.repeat(np.arange(len(group.numbers)), count)
    try:
        shared = clean_passes(
            model.transformer, [call.tokens[number] for number in group.numbers], call.held, call.dictionary,
            parallel=parallel,
        )  # fmt: skip
    except NotFiniteError as error:
        raise error.of(f"prompt {group.numbers[error.row]}") from None
    background = Background(model.transformer, call.dictionary, shared)
    clean = (clean_last(background, measured.logits)[: len(vectors)] * vectors).sum(axis=1)
    values = np.repeat(clean, count)
    if not group.edits:
        return values.reshape(-1, count), clean
    try:
        for rows, last in last_tokens(background, group.edits, prompts, logits=measured.logits, parallel=parallel):
            values[rows] = (np.float64(last) * vectors[prompts[rows]]).sum(axis=1)
    except NotFiniteError as error:
        number, arm = divmod(error.row, count)
        raise error.of(f"prompt {group.numbers[number]}, arm {arm}") from None
    return values.reshape(-1, count), clean
