"""Clean passes of some prompts, and what setting source features does to target features at each prompt's last token.

A row is a prompt with some slots (layer, feature, tokens, value): the feature is set to the value at these tokens, in
delta form, so that what the dictionary does not explain stays. One pass of a row is read at all targets above it, and
begins at its first slot's layer and token (`outcome.from_clean`). A prompt ends at its target's token: what comes after
it cannot matter.

    change = read with the slots - read without,    0 where that is within `ROUNDINGS` of the pre-activation

`open` rows keep nothing of the clean pass, as a total derivative has it; `constrained` ones keep attention patterns,
norms and MLP outputs, as a direct one has it.

Shapes: P prompts of one bucket of W tokens, R rows, N sources or slots, T targets.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.analyses.pathways.prompts import PlacedPrompt
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.activations import elementwise
from causeway.engine.dictionary.columns import FeatureColumns
from causeway.engine.dictionary.input_norm import normalise
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.changes import wide
from causeway.engine.intervention.edits import EMPTY, Edit, EditSpec
from causeway.engine.intervention.hold import checked_holds
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.handle import Model
from causeway.engine.outcome.clean_passes import clean_passes
from causeway.engine.outcome.feature_reader import READ, FeatureReader
from causeway.engine.outcome.from_clean import Background, clean_read, last_tokens
from causeway.engine.precision import full_precision

Derivative = Literal["direct", "total"]
HOLDS: dict[str, str] = {"direct": "constrained", "total": "open"}
# A change within so many roundings of the size of a pre-activation is none.
ROUNDINGS = 64


@dataclasses.dataclass(frozen=True)
class Nodes:
    """Features of layers, in an order of their own and perhaps repeated: layer and feature, [N]."""

    layer: Int[np.ndarray, " N"]
    feature: Int[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.layer)

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int]]) -> "Nodes":
        """Those of (layer, feature) pairs, in their order."""
        table = np.asarray(pairs, np.int32).reshape(-1, 2)
        return cls(table[:, 0], table[:, 1])

    @property
    def columns(self) -> tuple[list[int], list[int]]:
        """Layers and features."""
        return self.layer.tolist(), self.feature.tolist()

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """As (layer, feature)."""
        return list(zip(*self.columns, strict=True))

    def check(self, dictionary: InMemory, what: str) -> None:
        """Refuse features that the dictionary lacks.

        Raises:
            ValueError: a layer without a dictionary, or a feature out of range.
        """
        for layer, feature in self.pairs:
            if layer not in dictionary.config.layers or not 0 <= feature < dictionary.num_features:
                raise ValueError(
                    f"{what}: L{layer}-{feature} is none of the dictionaries', which have layers "
                    f"{', '.join(map(str, dictionary.config.layers))} and features 0 to {dictionary.num_features - 1}"
                )


class Slots(NamedTuple):
    """What rows set at tokens [start, stop), a slot after another, [N]: `writer` is the feature whose decoder row is
    written."""

    row: Int[np.ndarray, " N"]
    layer: Int[np.ndarray, " N"]
    feature: Int[np.ndarray, " N"]
    start: Int[np.ndarray, " N"]
    stop: Int[np.ndarray, " N"]
    value: Float[np.ndarray, " N"]
    writer: Int[np.ndarray, " N"]

    @classmethod
    def joined(cls, parts: Sequence["Slots"]) -> "Slots":
        """All of them, by row."""
        whole = cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        order = np.argsort(whole.row, kind="stable")
        return cls(*(column[order] for column in whole))


class Changes(NamedTuple):
    """Changes of all targets under some rows, [r, T]: of the pre-activation, and of the activation."""

    rows: Int[np.ndarray, " r"]
    pre: Float[np.ndarray, "r T"]
    activation: Float[np.ndarray, "r T"]


class Passes:
    """Clean passes of prompts of one bucket.

    Args:
        model, dictionary: loaded. prompts: each ends at its targets' token. targets: what is read there.
        parallel: devices to spread rows over (default: those of the weights).

    Raises:
        NotFiniteError: a pass does not give numbers.
    """

    def __init__(
        self, model: Model, dictionary: InMemory, prompts: Sequence[PlacedPrompt], targets: Nodes,
        derivative: Derivative, parallel: RowParallel | None = None,
    ):  # fmt: skip
        self.parallel = parallel
        self.model, self.dictionary, self.prompts, self.targets = model, dictionary, tuple(prompts), targets
        chosen: dict[int, list[int]] = {}
        for layer, feature in targets.pairs:
            chosen.setdefault(layer, []).append(feature)
        reader = FeatureReader.of(dictionary, chosen)
        held = checked_holds(HOLDS[derivative], model.config, dictionary)
        tokens = [prompt.tokens for prompt in prompts]
        try:
            clean = clean_passes(model.transformer, tokens, held, dictionary, (dictionary.config.stream,), parallel)
        except NotFiniteError as error:
            raise error.of(self.prompts[error.row].id) from None
        self.background = Background(model.transformer, dictionary, clean, reader)
        self.lengths = np.array([len(ids) for ids in tokens])
        width = max(map(len, chosen.values()))
        place = {
            (layer, f): p * width + s for p, layer in enumerate(reader.layers) for s, f in enumerate(chosen[layer])
        }
        self._columns = np.array([place[pair] for pair in targets.pairs])

    @functools.cached_property
    def clean(self) -> Float[np.ndarray, "P T 3"]:
        """Pre-activation, activation and size of each target on each prompt."""
        read = clean_read(self.background)[: len(self.prompts)]
        return read.reshape(len(read), -1, READ)[:, self._columns]

    def activations(self, nodes: Nodes) -> Float[np.ndarray, "N P W"]:
        """Clean activations at every token; what stands after a prompt's end means nothing."""
        kept = self.background.clean.kept[self.dictionary.config.stream]
        found = np.zeros((len(nodes), len(self.prompts), kept.shape[2]))
        for layer in np.unique(nodes.layer).tolist():
            mine = np.flatnonzero(nodes.layer == layer)
            # A power of two of features, so that few programs serve all numbers of them.
            ids = jnp.asarray(np.resize(nodes.feature[mine], 1 << (len(mine) - 1).bit_length()))
            x = kept[layer].reshape(*kept.shape[1:3], -1)
            if self.dictionary.config.ranked:
                values = _encoded(self.dictionary, jnp.int32(layer), ids, x)
            else:
                stack = np.full(len(ids), self.dictionary.config.index_of(layer))
                values = _activations(FeatureColumns(self.dictionary, stack, ids, decoder=False), x)
            found[mine] = np.asarray(values, np.float64)[: len(mine), : len(self.prompts)]
        return found

    def changes(
        self, slots: Slots, prompts: Int[np.ndarray, " R"], clamps: Slots | None = None,
        read: Int[np.ndarray, " R"] | None = None,
    ) -> Iterator[Changes]:  # fmt: skip
        """What rows with slots change, batch by batch; rows without any change nothing and do not come.

        Args:
            prompts: of each row, its number. clamps: further slots, of one token each. read: of each row the highest
                layer whose targets are wanted (default: all); changes of those above mean nothing.

        Raises:
            NotFiniteError: a row does not give numbers.
        """
        if not len(slots.row):
            return
        dtype, stream = np.dtype(self.model.numerics.accumulate), self.dictionary.config.output_stream
        edits = [_edit(slots, len(prompts), EditSpec(stream), dtype)]
        if clamps is not None and len(clamps.row):
            edits.append(_edit(clamps, len(prompts), EditSpec(stream, pinned=True, roundings=ROUNDINGS), dtype))
        try:
            for numbers, last in last_tokens(self.background, tuple(edits), prompts, read=read, parallel=self.parallel):
                here = last.astype(np.float64).reshape(len(last), -1, READ)[:, self._columns]
                yield Changes(numbers, *self._compared(here, self.clean[prompts[numbers]]))
        except NotFiniteError as error:
            raise error.of(self.prompts[prompts[error.row]].id) from None

    def _compared(self, here: np.ndarray, clean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pre, activation = here[..., 0] - clean[..., 0], here[..., 1] - clean[..., 1]
        accumulate = np.dtype(self.model.numerics.accumulate)
        nothing = np.abs(pre) <= ROUNDINGS * np.finfo(accumulate).eps * clean[..., 2]
        return np.where(nothing, 0.0, pre), np.where(nothing, 0.0, activation)


@jax.jit
@full_precision
def _activations(columns: FeatureColumns, x: Float[Array, "P W D"]) -> Float[Array, "N P W"]:
    x = normalise(columns.config.input_norm, wide(x))
    p = jnp.einsum("pwd,nd->npw", x, columns.encoder.astype(x.dtype)) + columns.bias.astype(x.dtype)[:, None, None]
    return elementwise(columns.kind, p, tuple(a[:, None, None] for a in columns.parameters))


@jax.jit
@full_precision
def _encoded(
    dictionary: InMemory, layer: Int[Array, ""], ids: Int[Array, " N"], x: Float[Array, "P W D"]
) -> Float[Array, "N P W"]:
    return jnp.moveaxis(dictionary.encode_at(layer, wide(x))[..., ids], -1, 0)


def _edit(slots: Slots, rows: int, spec: EditSpec, dtype: np.dtype) -> Edit:
    """Slots of padded rows, [R, E]."""
    counts = np.bincount(slots.row, minlength=rows)
    begins = np.cumsum(counts) - counts
    at = slots.row, np.arange(len(slots.row)) - begins[slots.row]
    shape = (rows, int(counts.max()))

    def placed(values: np.ndarray, kind: np.dtype | type, empty: float = 0) -> np.ndarray:
        out = np.full(shape, empty, kind)
        out[at] = values
        return out

    return Edit(
        placed(slots.layer, np.int32, EMPTY), placed(slots.feature, np.int32), placed(slots.start, np.int32),
        placed(slots.stop, np.int32), scale=np.zeros(shape, dtype), shift=placed(slots.value, dtype),
        writer=placed(slots.writer, np.int32), spec=spec,
    )  # fmt: skip
