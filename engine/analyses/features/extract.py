"""Features of prompts at the place their dictionaries read, layer by layer, from one pass over each prompt.

A sample is a chosen token of a prompt; samples follow the prompts' order, then the position. For each layer

    ids, values   the k largest features of each sample
    any           share of the prompts in which a feature is active at one chosen token at least
    mean          share of a prompt's chosen tokens at which it is active, mean over prompts
    strength      mean over prompts of its mean value over the chosen tokens

Tokens of a prompt are not independent, so a prompt counts as one observation, however many tokens it has. Active means
not 0.

Prompts run as `reading.read` runs them; the largest are taken on the device, and all values leave it only where they
are asked for.

Shapes: n samples, F features, k. Memory: n x k x 8 bytes a layer on the host.
Cost: one forward pass a prompt, 2 D F operations and a top-k of F for every sample and layer.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.fit import AnyHolder, fitted
from causeway.engine.dictionary.placement import Holder
from causeway.engine.model.transformer import Transformer
from causeway.engine.reading.job import Kept, read_kept
from causeway.engine.reading.passes import ROWS, ReadRow, check_read
from causeway.engine.reading.read import Part
from causeway.engine.reading.reductions import TopK


@dataclasses.dataclass(frozen=True)
class Positions:
    """Which tokens of a prompt are looked at.

    Attributes:
        last: how many from the end, None for all.
        first: the first position that counts. Whatever token stands at 0, its stream is many times larger than all
            others and switches on features that say nothing about the prompt.
    """

    last: int | None = None
    first: int = 1

    def __post_init__(self):
        if self.last is not None and self.last < 1:
            raise ValueError(f"positions: got the last {self.last} tokens; needs at least 1")

    def chosen(self, length: int) -> Int[np.ndarray, " S"]:
        """Positions of a prompt of `length` tokens, perhaps none."""
        start = 0 if self.last is None else length - self.last
        return np.arange(max(self.first, start), length)

    def check(self, length: int) -> None:
        """Refuse a prompt of `length` tokens of which none is chosen.

        Raises:
            ValueError: no token of the prompt is selected.
        """
        if not len(self.chosen(length)):
            raise ValueError(
                f"{length} tokens, none of which counts from position {self.first} on; "
                "give it more text, or include position 0"
            )

    def width(self, bucket: int) -> int:
        """How many positions a prompt of a bucket can have."""
        return bucket if self.last is None else min(self.last, bucket)

    def __str__(self) -> str:
        return "all" if self.last is None else f"last_{self.last}"


@dataclasses.dataclass(frozen=True)
class LayerFeatures:
    """One layer's features of all prompts.

    Attributes:
        layer: model layer.
        ids, values: the largest of each sample, 0 where fewer are active.
        any, mean, strength: see the module's docstring.
        active_any: features active at one chosen token at least, of each prompt.
        active_mean: features active a chosen token, of each prompt.
    """

    layer: int
    ids: Int[np.ndarray, "n k"]
    values: Float[np.ndarray, "n k"]
    any: Float[np.ndarray, " F"]
    mean: Float[np.ndarray, " F"]
    strength: Float[np.ndarray, " F"]
    active_any: Int[np.ndarray, " prompts"]
    active_mean: Float[np.ndarray, " prompts"]


def extract_features(
    transformer: Transformer,
    dictionary: Holder,
    prompts: Sequence[Sequence[int]],
    positions: Positions = Positions(5),
    *,
    top_k: int = 50,
    rows: int = ROWS,
    parallel: RowParallel | None = None,
    full: Mapping[int, np.ndarray] | None = None,
    kept: Kept | None = None,
) -> list[LayerFeatures]:
    """The features of every layer of any holder of dictionaries.

    Args:
        prompts: token ids.
        positions: the tokens looked at.
        top_k: k.
        rows: rows of a pass, per device; part of what fixes the bits.
        parallel: devices the rows are spread over (default: one).
        full: layer -> an array [n, F] to be filled with all values.
        kept: where what is read is kept, so that the same call goes on after an interruption.

    Raises:
        ValueError: before anything is compiled, for a prompt without a chosen token or longer than the context, k
            outside 1..F, or dictionaries of another width or of layers not there.
        NotFiniteError: a prompt's pass, or a feature, is not all numbers.
    """
    dictionary = check_request(transformer, dictionary, prompts, positions, top_k, rows)
    starts = sample_starts(samples_of(prompts, positions), len(prompts))
    sums = {
        layer: _Sums(dictionary.num_features, len(prompts), starts[-1], top_k) for layer in dictionary.config.layers
    }
    parts = read_kept(
        kept, transformer, _rows(prompts, positions), (dictionary.config.stream,), dictionary,
        TopK(top_k, full is not None), batch_rows=rows, parallel=parallel,
        slots=lambda count, width: positions.width(width),
    )  # fmt: skip
    for part in parts:
        places = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in part.rows])
        sums[part.layer].add(part, places)
        if full is not None:
            full[part.layer][places] = part.values["f"][part.there]
    return [total.finished(layer) for layer, total in sums.items()]


def check_request(
    transformer: Transformer,
    dictionary: AnyHolder,
    prompts: Sequence[Sequence[int]],
    positions: Positions,
    k: int,
    rows: int = ROWS,
) -> AnyHolder:
    """Refuse what `extract_features` cannot do, before anything is compiled; gives the dictionary under the model's
    names.

    Raises:
        ValueError: see `extract_features`.
    """
    for number, prompt in enumerate(prompts, start=1):
        try:
            positions.check(len(prompt))
        except ValueError as error:
            raise ValueError(f"prompt {number}: {error}") from None
    check_read(transformer, _rows(prompts, positions), rows)
    dictionary = fitted(dictionary, transformer.config, "this model")
    if not 1 <= k <= dictionary.num_features:
        raise ValueError(f"top_k: got {k}; the dictionaries have {dictionary.num_features} features, so 1 to that many")
    return dictionary


def _rows(prompts: Sequence[Sequence[int]], positions: Positions) -> list[ReadRow]:
    return [ReadRow(prompt, positions.chosen(len(prompt)).tolist()) for prompt in prompts]


def samples_of(prompts: Sequence[Sequence[int]], positions: Positions) -> Int[np.ndarray, "n 2"]:
    """Prompt number and position of every sample."""
    chosen = [positions.chosen(len(prompt)) for prompt in prompts]
    owners = np.repeat(np.arange(len(chosen)), [len(places) for places in chosen])
    return np.stack([owners, np.concatenate([np.zeros(0, int), *chosen])], axis=1)


def sample_starts(samples: Int[np.ndarray, "n 2"], prompts: int) -> Int[np.ndarray, " starts"]:
    """Where each prompt's samples begin; the last entry is n, the number of all."""
    return np.searchsorted(samples[:, 0], np.arange(prompts + 1))


class _Sums:
    """What has been read of a layer so far."""

    def __init__(self, features: int, prompts: int, samples: int, k: int):
        self.ids, self.values = np.zeros((samples, k), np.int32), np.zeros((samples, k), np.float32)
        self.totals = {name: np.zeros(features) for name in ("any", "mean", "strength")}
        self.active_any, self.active_mean = np.zeros(prompts, int), np.zeros(prompts)

    def add(self, part: Part, places: Int[np.ndarray, " samples"]) -> None:
        values = part.values
        self.ids[places], self.values[places] = values["ids"][part.there], values["values"][part.there]
        for name, total in self.totals.items():
            for of_device in values[name]:
                total += of_device
        self.active_any[part.rows], self.active_mean[part.rows] = values["active_any"], values["active_mean"]

    def finished(self, layer: int) -> LayerFeatures:
        shares = {name: total / len(self.active_any) for name, total in self.totals.items()}
        return LayerFeatures(layer, self.ids, self.values, **shares, active_any=self.active_any,
                             active_mean=self.active_mean)  # fmt: skip
