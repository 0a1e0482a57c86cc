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
from causeway.engine.reading.passes import ROWS, ReadRow, Slots, all_places, check_read
from causeway.engine.reading.read import Part
from causeway.engine.reading.reductions import TopK


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
    rows: Sequence[ReadRow],
    *,
    slots: Slots = all_places,
    top_k: int = 50,
    batch_rows: int = ROWS,
    parallel: RowParallel | None = None,
    full: Mapping[int, np.ndarray] | None = None,
    kept: Kept | None = None,
) -> list[LayerFeatures]:
    """The features of every layer of any holder of dictionaries.

    Args:
        rows: token ids of each prompt and its chosen tokens (`positions.Positions`).
        slots: places of a row in its pass.
        top_k: k.
        batch_rows: rows of a pass, per device; part of what fixes the bits.
        parallel: devices the rows are spread over (default: those of the weights).
        full: layer -> an array [n, F] to be filled with all values.
        kept: where what is read is kept, so that the same call goes on after an interruption.

    Raises:
        ValueError: before anything is compiled, for a prompt longer than the context or without a chosen token, k
            outside 1..F, or dictionaries of another width or of layers not there.
        NotFiniteError: a prompt's pass, or a feature, is not all numbers.
    """
    dictionary = check_request(transformer, dictionary, rows, top_k, batch_rows)
    starts = sample_starts(samples_of(rows), len(rows))
    sums = {layer: _Sums(dictionary.num_features, len(rows), starts[-1], top_k) for layer in dictionary.config.layers}
    parts = read_kept(
        kept, transformer, rows, (dictionary.config.stream,), dictionary, TopK(top_k, full is not None),
        batch_rows=batch_rows, parallel=parallel, slots=slots,
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
    rows: Sequence[ReadRow],
    k: int,
    batch_rows: int = ROWS,
) -> AnyHolder:
    """Refuse what `extract_features` cannot do, before anything is compiled; gives the dictionary under the model's
    names.

    Raises:
        ValueError: see `extract_features`.
    """
    check_read(transformer, rows, batch_rows)
    dictionary = fitted(dictionary, transformer.config, "this model")
    if not 1 <= k <= dictionary.num_features:
        raise ValueError(f"top_k: got {k}; the dictionaries have {dictionary.num_features} features, so 1 to that many")
    return dictionary


def samples_of(rows: Sequence[ReadRow]) -> Int[np.ndarray, "n 2"]:
    """Prompt number and position of every sample."""
    return np.array([(number, place) for number, row in enumerate(rows) for place in row.places], int).reshape(-1, 2)


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
