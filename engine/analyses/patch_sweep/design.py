"""What a patching sweep runs: features x arms x prompts x trials, as rows.

In delta form the no-op is the same for every feature of a layer; in replace form it brings in the dictionary's error,
again the same for every feature. So it is run once a layer, on a row with feature -1.

Every prompt runs the same list of rows, in the order (layer, feature, arm, trial). The columns of that list are plain
arrays; a sweep's row is (prompt, index into the list).

Shapes: N features, M rows a prompt.
"""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.arms import ABLATE, BASELINE, NOOP, Arm
from causeway.engine.analyses.screen.values import whole_numbers
from causeway.engine.dictionary.placement import Holder
from causeway.engine.intervention.edits import EMPTY, Edit, EditSpec
from causeway.engine.intervention.operations import OPERATIONS, Coefficients
from causeway.engine.intervention.other_features import other_features
from causeway.engine.intervention.scope import intervals
from causeway.engine.model.handle import Model
from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.tokenized_prompt import TokenizedPrompt, tokenized

EVERY = -1


@dataclasses.dataclass(frozen=True)
class FeatureSet:
    """The features patched and their values by group name, all [N]; `rule` says where the values are from."""

    layer: Int[np.ndarray, " N"]
    feature: Int[np.ndarray, " N"]
    values: Mapping[str, Float[np.ndarray, " N"]]
    rule: str = "given"

    def __post_init__(self):
        pairs = list(zip(self.layer.tolist(), self.feature.tolist(), strict=True))
        if not pairs:
            raise ValueError("features: empty; name at least one (layer, feature)")
        if len(set(pairs)) != len(pairs):
            twice = next(pair for pair, group in itertools.groupby(sorted(pairs)) if len(list(group)) > 1)
            raise ValueError(f"features: layer {twice[0]} feature {twice[1]} is named twice")
        for name, values in self.values.items():
            # Values are set in float32, in which larger ones are infinite.
            if not (np.abs(values) <= np.finfo(np.float32).max).all():
                raise ValueError(f"features: the values of {name!r} hold a number that is not finite in float32")

    def check(self, dictionary: Holder) -> None:
        """Refuse features the dictionaries do not have.

        Raises:
            ValueError: a layer without a dictionary, or a feature id out of range.
        """
        for layer in np.unique(self.layer):
            dictionary.config.index_of(int(layer))
        outside = self.feature[(self.feature < 0) | (self.feature >= dictionary.num_features)]
        if outside.size:
            raise ValueError(f"features: id {outside[0]} is outside the dictionary's 0..{dictionary.num_features - 1}")

    def take(self, which: slice | Sequence[int]) -> "FeatureSet":
        """Some of the features, in the order given."""
        values = {name: column[which] for name, column in self.values.items()}
        return FeatureSet(self.layer[which], self.feature[which], values, self.rule)

    def with_others(self, others: pa.Table, dictionary: Holder, name: str) -> pa.Table:
        """These features and those of a table, each once, as a table of layer and feature.

        Args:
            name: of the table, for the error.

        Raises:
            ValueError: an empty table, or features that the dictionaries do not have.
        """
        try:
            added = FeatureSet(whole_numbers(others, "layer"), whole_numbers(others, "feature"), {})
            added.check(dictionary)
        except ValueError as error:
            raise ValueError(f"{name}: {str(error).removeprefix('features: ')}") from None
        pairs = np.concatenate([[one.layer, one.feature] for one in (self, added)], axis=1)
        layer, feature = np.unique(pairs, axis=1)
        return pa.table({"layer": layer, "feature": feature})

    def first(self, count: int) -> "FeatureSet":
        """The first `count` features, as listed."""
        return self.take(slice(count))


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows that every prompt runs, all [M].

    layer, feature: -1 where the row stands for every one. arm: index into `arms`. scale, shift, lower, upper, writer:
    the edit.
    """

    arms: tuple[Arm, ...]
    layer: Int[np.ndarray, " M"]
    feature: Int[np.ndarray, " M"]
    arm: Int[np.ndarray, " M"]
    trial: Int[np.ndarray, " M"]
    scale: Float[np.ndarray, " M"]
    shift: Float[np.ndarray, " M"]
    lower: Float[np.ndarray, " M"]
    upper: Float[np.ndarray, " M"]
    writer: Int[np.ndarray, " M"]

    def __len__(self) -> int:
        return len(self.layer)

    def take(self, chosen: slice | np.ndarray) -> "Rows":
        """Some of the rows."""
        arrays = {f.name: getattr(self, f.name)[chosen] for f in dataclasses.fields(self) if f.name != "arms"}
        return Rows(self.arms, **arrays)

    def edit(self, spec: EditSpec, scope: str, prompt_length: int, bounded: bool = False) -> Edit:
        """The rows' edits for a prompt of that length, one slot an interval of the scope.

        Args:
            bounded: whether any row of the plan has bounds, which then all have.
        """
        spans = np.array(intervals(scope, prompt_length), np.int32)
        shape = (len(self), len(spans))

        def wide(column: np.ndarray) -> np.ndarray:
            return np.broadcast_to(column[:, None], shape).copy()

        return Edit(
            layer=wide(self.layer), feature=wide(np.maximum(self.feature, 0)), writer=wide(np.maximum(self.writer, 0)),
            start=np.broadcast_to(spans[:, 0], shape).copy(), stop=np.broadcast_to(spans[:, 1], shape).copy(),
            scale=wide(self.scale), shift=wide(self.shift), spec=spec,
            bounds=(wide(self.lower), wide(self.upper)) if bounded else None,
        )  # fmt: skip


def make_rows(
    features: FeatureSet, arms: Sequence[Arm], dictionary: Holder, *, trials: int, seed: int, run_noop: bool,
    operation: str = "set",
) -> Rows:  # fmt: skip
    """The rows of every prompt.

    Args:
        trials: rows of each (feature, arm); 1 for exact outcomes. seed: chooses the features of random controls.
        run_noop: whether the no-op needs rows of its own (False where it equals the baseline to the bit).
    """
    arms = tuple(arms)
    per_feature = [i for i, arm in enumerate(arms) if arm.of_features]
    order = np.lexsort((features.feature, features.layer))
    parts = []
    if BASELINE in arms:
        parts.append(_shared_rows(arms, EMPTY, BASELINE, trials))
    layers = features.layer[order]
    for layer in np.unique(layers):
        if NOOP in arms and run_noop:
            parts.append(_shared_rows(arms, int(layer), NOOP, trials))
        if per_feature:
            chosen = order[layers == layer]
            parts.append(_feature_rows(features, chosen, arms, per_feature, dictionary, trials, seed, operation))
    names = [f.name for f in dataclasses.fields(Rows) if f.name != "arms"]
    return Rows(arms, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _shared_rows(arms: tuple[Arm, ...], layer: int, arm: Arm, trials: int) -> Rows:
    ids, zeros = np.full(trials, EVERY, np.int32), np.zeros(trials, np.float32)
    return Rows(
        arms, layer=np.full(trials, layer, np.int32), feature=ids, arm=np.full(trials, arms.index(arm), np.int32),
        trial=np.arange(trials, dtype=np.int32), scale=zeros + 1, shift=zeros, lower=zeros - np.inf,
        upper=zeros + np.inf, writer=ids,
    )  # fmt: skip


def _feature_rows(
    features: FeatureSet, chosen: np.ndarray, arms: tuple[Arm, ...], per_feature: list[int], dictionary: Holder,
    trials: int, seed: int, operation: str,
) -> Rows:  # fmt: skip
    """Rows of one layer's features in the order (feature, arm, trial)."""
    columns = [_arm_columns(arms[i], features, chosen, dictionary, seed, operation) for i in per_feature]
    scale, shift, lower, upper, writer = (np.stack(found, axis=1) for found in zip(*columns, strict=True))
    shape = (len(chosen), len(per_feature), trials)

    def rows(array: np.ndarray, dtype) -> np.ndarray:
        return np.broadcast_to(array.reshape(array.shape + (1,) * (3 - array.ndim)), shape).reshape(-1).astype(dtype)

    return Rows(
        arms, layer=rows(features.layer[chosen], np.int32), feature=rows(features.feature[chosen], np.int32),
        arm=rows(np.array(per_feature)[None], np.int32), trial=rows(np.arange(trials)[None, None], np.int32),
        scale=rows(scale, np.float32), shift=rows(shift, np.float32), lower=rows(lower, np.float32),
        upper=rows(upper, np.float32), writer=rows(writer, np.int32),
    )  # fmt: skip


def _arm_columns(
    arm: Arm, features: FeatureSet, chosen: np.ndarray, dictionary: Holder, seed: int, operation: str
) -> tuple[np.ndarray, ...]:
    """Scale, shift, bounds and written feature of one arm, [chosen]."""
    if arm.value in ("", ABLATE):
        factors = OPERATIONS["zero"](0.0)
    elif arm.kind == "dose":
        factors = Coefficients(1 - arm.dose, arm.dose * features.values[arm.value][chosen])
    else:
        factors = OPERATIONS[operation](features.values[arm.value][chosen])
    writer = features.feature[chosen]
    if arm.kind == "random":
        layer = int(features.layer[chosen[0]])
        writer = other_features(layer, writer, dictionary, [arm.draw or 0], seed)[:, 0]
    return (*(np.broadcast_to(np.asarray(factor, float), len(chosen)) for factor in factors), writer)


def sweep_prompt(model: Model, record: PromptRecord, place: int, common: Sequence[Answer] = ()) -> TokenizedPrompt:
    """A prompt as it is run.

    Args:
        record: with a label, and perhaps answers.
        place: its number where its id is none; the number keys the random draws.
        common: answers, where it has none of its own.

    Raises:
        ValueError: an empty or too long prompt, an id outside the range of numbers, or answers that merge with it.
    """
    number = scalars.integer(int(record.id), "id") if re.fullmatch(r"-?\d+", record.id, re.ASCII) else place
    return tokenized(model, dataclasses.replace(record, answers=record.answers or tuple(common)), number)
