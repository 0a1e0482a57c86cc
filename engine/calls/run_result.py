"""What `cw.run` returns: logits and recordings of each prompt, read by the names of what was tapped."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from causeway.engine.calls.by_name import Tapped
from causeway.engine.intervention.taps import Record


@dataclasses.dataclass(frozen=True)
class RunResult:
    """Prompts run once. `out[name]`, `out[name, layer]` and `out[name, layer, reader]` give what taps read by name.

    `out["resid_post", 12][i]` is [T, D] for prompt i, `out["resid_post"][i]` is [P, T, D] for the P tapped layers;
    attention patterns are [H, T, S] a layer, heads [T, H, K], features and projections [T, W]. With `arms` an axis A of
    arms leads in all of them, in the logits, and in `edits_applied`.

    Attributes:
        tokens: ids that each prompt was run as.
        logits: one array a prompt: [T, V], or [V] with logits="last"; () with logits=None.
        records: for each tap, one record a prompt: `values` [P, T, W], and `ids` of top_k.
        edits_applied: [prompts], at how many tokens edits acted.
        tapped: the taps, by name.
    """

    tokens: tuple[tuple[int, ...], ...]
    logits: tuple[Float[np.ndarray, "*A V"], ...]
    records: tuple[tuple[Record, ...], ...]
    edits_applied: Int[np.ndarray, " prompts *A"]
    tapped: Tapped = dataclasses.field(repr=False)

    def __getitem__(self, key: Any) -> tuple[np.ndarray, ...]:
        """What a tap read, one array a prompt.

        Raises:
            ValueError: nothing was tapped there, or the key does not say what.
        """
        number, layer = self.tapped.find(key)
        axis = self.edits_applied.ndim - 1
        found = [np.asarray(record.values) for record in self.records[number]]
        return tuple(values if layer is None else np.take(values, layer, axis) for values in found)

    def __repr__(self) -> str:
        lengths = sorted({len(ids) for ids in self.tokens})
        tokens = "-".join(str(n) for n in dict.fromkeys((lengths[0], lengths[-1])))
        taps = ", ".join(repr(record[0]) for record in self.records) or "none"
        logits = f"{list(self.logits[0].shape)}" if self.logits else "none"
        return (
            f"RunResult({len(self.tokens)} prompts of {tokens} tokens; logits {logits}; edits acted at "
            f"{int(self.edits_applied.sum())} tokens; taps of the first prompt: {taps})"
        )
