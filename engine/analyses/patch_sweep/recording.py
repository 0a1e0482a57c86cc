"""What a sampled sweep records at every generated token, and how it lies on disk.

    none         nothing
    top:K        the K strongest features of every layer, with their ids
    all          every feature of every layer (large: --plan says how large)
    features     chosen features, the same number in every layer (shorter lists are padded with id -1)

plus, if asked, the k largest next-token logits and their token ids. Arrays are [row, step, layer, width] (logits
[row, step, width]); step 0 is the last prompt token, step t the t-th new token as input; `valid` [row, step] is False
after a row's end, where values are zero. Values are re-encoded from the stream after the edit, in the dictionary's
own scale.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Int

from causeway.engine.analyses.patch_sweep.design import FeatureSet
from causeway.engine.analyses.screen.values import whole_numbers
from causeway.engine.dictionary.placement import Holder, InMemory
from causeway.engine.intervention.taps import BoundTap, Reader, TapSpec, bind_tap
from causeway.engine.model.rollouts import Generation
from causeway.engine.sweep.layout import ArraySpec


@dataclasses.dataclass(frozen=True)
class Recording:
    """The taps of a sweep.

    Attributes:
        stream: where the dictionaries read. layers: layers recorded. reader: "", "top_k", "all" or "selected".
        width: k, or the number of selected features. ids: [P, S] selected features, -1 for padding.
        top_logits: how many next-token logits to keep; 0 for none.
    """

    stream: str = "resid_post"
    layers: tuple[int, ...] = ()
    reader: Reader | Literal[""] = ""
    width: int = 0
    ids: Int[np.ndarray, "P S"] | None = None
    top_logits: int = 0

    def taps(self, dictionary: InMemory, num_layers: int) -> tuple[BoundTap, ...]:
        """Bound taps: features first, then logits."""
        taps = []
        if self.reader:
            width = 0 if self.reader == "all" else self.width
            ids = None if self.ids is None else jnp.asarray(np.maximum(self.ids, 0))
            taps.append(bind_tap(TapSpec(self.stream, self.reader, self.layers, width), dictionary, ids=ids))
        if self.top_logits:
            taps.append(bind_tap(TapSpec("logits", "top_k", (num_layers,), self.top_logits), None))
        return tuple(taps)

    def arrays(self, steps: int, num_features: int) -> dict[str, ArraySpec]:
        """The dense arrays of the store."""
        specs = {}
        if self.reader:
            notes = {"layers": list(self.layers), "stream": self.stream, "unit": "feature value, dictionary scale"}
            if self.ids is not None:
                notes["features"] = self.ids.tolist()
            width = num_features if self.reader == "all" else self.width
            shape, axes = (steps, len(self.layers), width), ("step", "layer", "feature")
            specs["values"] = ArraySpec(shape, "float32", axes, notes)
            if self.reader == "top_k":
                specs["ids"] = ArraySpec(shape, "int32", axes, notes)
        if self.top_logits:
            best, ranks = (steps, self.top_logits), ("step", "rank")
            specs["top_logits"] = ArraySpec(best, "float32", ranks, {"unit": "logit"})
            specs["top_tokens"] = ArraySpec(best, "int32", ranks, {"unit": "token id"})
        if specs:
            specs["valid"] = ArraySpec((steps,), "bool", ("step",), {})
        return specs

    def collect(self, generation: Generation) -> dict[str, np.ndarray]:
        """A generation's records under the names of `arrays`."""
        records = list(generation.records)
        out: dict[str, np.ndarray] = {}
        if self.reader:
            record = records.pop(0)
            out["values"] = _unpadded(np.asarray(record.values), self.ids)
            if self.reader == "top_k":
                out["ids"] = np.asarray(record.ids)
        if self.top_logits:
            record = records.pop(0)
            out["top_logits"], out["top_tokens"] = (np.asarray(a)[:, :, 0] for a in (record.values, record.ids))
        if out:
            out["valid"] = np.asarray(generation.records[0].valid)
        return out

    def describe(self) -> dict[str, object]:
        """JSON-able description for the plan."""
        described = dataclasses.asdict(self)
        return described | {"ids": None if self.ids is None else self.ids.tolist()}


def _unpadded(values: np.ndarray, ids: np.ndarray | None) -> np.ndarray:
    """Padding entries to zero."""
    return values if ids is None else np.where(ids >= 0, values, 0).astype(values.dtype)


def make_recording(what: str | pa.Table, dictionary: Holder, patched: FeatureSet, top_logits: int) -> Recording:
    """A recording over all layers that have a dictionary.

    Args:
        what: "", "all", "top:K", "patched", or a table with the columns layer and feature.

    Raises:
        ValueError: another text, K is not a positive number, or a feature is not in the dictionaries.
    """
    base = Recording(dictionary.config.stream, tuple(sorted(dictionary.config.layers)), top_logits=top_logits)
    if isinstance(what, str) and not what:
        return base
    if isinstance(what, str) and what == "all":
        return dataclasses.replace(base, reader="all")
    if isinstance(what, str) and what.startswith("top:"):
        count = what.removeprefix("top:")
        if not count.isdecimal() or not 1 <= int(count) <= dictionary.num_features:
            raise ValueError(f"record_features: got {what!r}; top:K needs K in 1..{dictionary.num_features}")
        return dataclasses.replace(base, reader="top_k", width=int(count))
    if isinstance(what, str) and what != "patched":
        raise ValueError(f"record_features: got {what!r}; needs all, top:K, patched, or a table of features")
    if isinstance(what, str):
        layer, feature = patched.layer, patched.feature
    else:
        layer, feature = (whole_numbers(what, name) for name in ("layer", "feature"))
    FeatureSet(layer, feature, {}).check(dictionary)
    by_layer = {int(n): feature[layer == n].tolist() for n in np.unique(layer)}
    ids = selected_ids(base.layers, by_layer)
    return dataclasses.replace(base, reader="selected", width=ids.shape[1], ids=ids)


def selected_ids(layers: Sequence[int], chosen: Mapping[int, Sequence[int]]) -> Int[np.ndarray, "P S"]:
    """Feature ids per layer as one array, padded with -1.

    Raises:
        ValueError: no feature in any of the layers.
    """
    width = max((len(set(chosen.get(layer, ()))) for layer in layers), default=0)
    if not width:
        raise ValueError("record_features: no feature in any layer that has a dictionary")
    ids = np.full((len(layers), width), -1, np.int32)
    for i, layer in enumerate(layers):
        mine = sorted(set(chosen.get(layer, ())))
        ids[i, : len(mine)] = mine
    return ids
