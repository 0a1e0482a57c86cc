"""A prompt as discovery reads it: run once, cut after the targets' position, its features encoded.

Nothing after the position of the targets can reach it, so the prompt ends there, padded to a bucket. Padding repeats
the last token's stream: it is not reached, and is made of numbers.

Shapes: L layers, S layers of the dictionary in its order, T tokens of the bucket, M active slots of a position.
Memory: L T D of the streams and S T M of the features, of one prompt.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.analyses.pathways.readings import Active
from causeway.engine.dictionary import input_norm
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.frozen.record import FrozenRecord, record_prompt
from causeway.engine.frozen.sources import active_features
from causeway.engine.intervention.scope import intervals
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.handle import Model
from causeway.engine.places import Places
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.tokenized_prompt import tokenized


@dataclasses.dataclass(frozen=True)
class PlacedPrompt:
    """A prompt and where it is read.

    Attributes:
        id: its name. tokens: ids up to the targets' position, which is that of the last. sources: positions whose
            features count as sources.
    """

    id: str
    tokens: tuple[int, ...]
    sources: tuple[int, ...]

    @property
    def position(self) -> int:
        """Of the targets."""
        return len(self.tokens) - 1


def placed_prompts(
    model: Model, records: Sequence[PromptRecord], position: str, scope: str
) -> tuple[PlacedPrompt, ...]:
    """The prompts with their places.

    Args:
        position: of the targets, a place of one token. scope: of the sources, as an edit's.

    Raises:
        ValueError: a prompt that cannot be run or lacks a place, two of one id, or none.
    """
    placed = tuple(_placed(model, number, record, position, scope) for number, record in enumerate(records))
    ids = [prompt.id for prompt in placed]
    if not ids or len(set(ids)) != len(ids):
        raise ValueError(f"prompts: {len(ids)} with {len(set(ids))} distinct ids; give some, each with its own id")
    return placed


def _placed(model: Model, number: int, record: PromptRecord, position: str, scope: str) -> PlacedPrompt:
    name = record.id or f"prompt {number}"
    tokens = tokenized(model, record, answered=False).tokens
    places = Places.of(model, record, tokens)
    try:
        at = places.one(position)
        spans = intervals(places.scope(scope), len(tokens))
    except ValueError as error:
        raise ValueError(f"{error} ({name})") from None
    sources = tuple(t for start, stop in spans for t in range(start, min(stop, at + 1)))
    if not sources:
        raise ValueError(f"scope: {scope!r} has no position up to that of the targets, {at}, in {name}; name others")
    return PlacedPrompt(name, tuple(tokens[: at + 1]), sources)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Recorded:
    """What discovery keeps of a prompt's pass.

    Attributes:
        streams: what goes into each block, [L, T, D]. position: of the targets.
        ids, values: active features of each layer, [S, T, M], and `order` of their slots, [S, T M]: by feature, then by
            position.
        unit: what one unit of a feature writes, in decoder rows, [S, T]; 1 but for dictionaries that undo a norm.
        counts: positions whose features are sources, [T].
    """

    streams: Float[Array, "L T D"]
    position: Int[Array, ""]
    ids: Int[Array, "S T M"]
    values: Float[Array, "S T M"]
    order: Int[Array, "S TM"]
    unit: Float[Array, "S T"]
    counts: Bool[Array, " T"]

    def active(self, place: Int[Array, ""] | int) -> Active:
        """Features of the dictionary at a place of the stack."""
        return Active(self.ids[place], self.values[place], self.order[place], self.counts)


@dataclasses.dataclass(frozen=True)
class ActiveSources:
    """Active (feature, position) pairs of one layer at the sources' positions, by feature, then by position."""

    features: Int[np.ndarray, " n"]
    positions: Int[np.ndarray, " n"]


def record(model: Model, dictionary: Dictionary, prompt: PlacedPrompt) -> tuple[Recorded, list[ActiveSources]]:
    """Run a prompt once and encode it; also its active sources of each layer, in the stack's order.

    Raises:
        NotFiniteError: the pass, or a feature, is not a number.
    """
    found = record_prompt(model.transformer, prompt.tokens, dictionary.config)
    # Heads lie side by side, as dictionaries of them have it.
    streams = {name: values.reshape(*values.shape[:2], -1) for name, values in found.streams.items()}
    found = dataclasses.replace(found, streams=streams)
    width, stack = found.attn_scale.shape[1], list(dictionary.config.layers)
    active = active_features(dictionary, found, len(prompt.tokens), 0)
    # Slots on the grid of widths, so that prompts share programs.
    spare = bucket_width(active.ids.shape[2]) - active.ids.shape[2]
    ids, values = (np.pad(a[stack], ((0, 0), (0, 0), (0, spare))) for a in (active.ids, active.values))
    counts = np.isin(np.arange(width), prompt.sources)
    by_feature = [_by_feature(own, worth) for own, worth in zip(ids, values, strict=True)]
    sources = []
    for own, worth, order in zip(ids, values, by_feature, strict=True):
        real = order[(worth.reshape(-1)[order] != 0) & counts[order // ids.shape[2]]]
        sources.append(ActiveSources(own.reshape(-1)[real], real // ids.shape[2]))
    real = jnp.minimum(jnp.arange(width), len(prompt.tokens) - 1)
    recorded = Recorded(
        found.streams["resid_pre"][:, real], jnp.int32(prompt.position), jnp.asarray(ids),
        jnp.asarray(values, found.logits.dtype), jnp.asarray(np.stack(by_feature), jnp.int32),
        _units(dictionary, found, stack), jnp.asarray(counts),
    )  # fmt: skip
    return recorded, sources


def _by_feature(ids: Int[np.ndarray, "T M"], values: Float[np.ndarray, "T M"]) -> Int[np.ndarray, " TM"]:
    """Slots by feature, then by position; empty ones last."""
    position = np.repeat(np.arange(len(ids)), ids.shape[1])
    return np.lexsort((position, ids.reshape(-1), values.reshape(-1) == 0))


def _units(dictionary: Dictionary, found: FrozenRecord, stack: list[int]) -> Float[Array, "S T"]:
    x = found.streams[dictionary.config.stream][jnp.asarray(stack)]
    if not dictionary.config.restores:
        return jnp.ones(x.shape[:2], x.dtype)
    return input_norm.scale(dictionary.config.input_norm, x)[..., 0]
