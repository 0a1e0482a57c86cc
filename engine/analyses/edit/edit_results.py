"""What each setting changes, which one is chosen, what it is worth and what it costs.

    effect[s] = mean over items of (value under setting s - value of the model as it is)

on four sets of items, each a family of tests of its own:

    choosing        prompts of the task: the setting with the largest mean effect is chosen
    held_out        other prompts of the task: what the chosen one is worth
    unrelated       prompts of other tasks: what it costs (a negative effect)
    unrelated_text  texts: the same, as loss of the next token (a positive effect)

The largest of many means is partly luck, so the effect on the choosing prompts is too large; no other set has a say in
the choice. The prompt (or text) is the unit: effect, interval and p are of `stats.paired`, q of `stats.multiple` over
all settings of a set.

Shapes: S settings, P prompts, X texts.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from causeway.engine.analyses.edit.edit_sweep import CHOOSING, HELD_OUT, SETS, TEXT, UNRELATED, EditSweep, Values
from causeway.engine.intervention.requests import UnitEdit
from causeway.engine.stats.multiple import Method, adjust
from causeway.engine.stats.paired import paired_mean, verdict

LOG_ODDS, LOSS = "log_odds", "loss"
UNITS = {LOG_ODDS: "nats: log P(right answer) - log P(wrong answer)", LOSS: "nats a token: mean loss of the next one"}


@dataclasses.dataclass(frozen=True, repr=False)
class EditResults:
    """A finished sweep.

    Attributes:
        sweep: what was asked. values: what was measured. correction: of q.
    """

    sweep: EditSweep
    values: Values
    correction: Method = "bh"

    def __repr__(self) -> str:
        setting = self.sweep.settings[self.chosen]
        told = "; ".join(self.summary()["verdict"])
        return f"EditResults({len(self.sweep.settings)} settings; chosen, {setting.kind}: {setting}; {told})"

    @property
    def chosen(self) -> int:
        """The setting with the largest mean effect on the choosing prompts, the first of equal ones."""
        own = self._own(CHOOSING)
        return int(np.argmax((self.values.edited[:, own] - self.values.clean[own]).mean(axis=1)))

    def table(self) -> pa.Table:
        """A row for each setting and set that has items, set after set.

        Columns: setting (its number), kind, neurons, factors, set, outcome; effect with low, high, p and q; prompts,
        and those that stand off the others (distinct); before and after (mean outcomes); accuracy_before and
        accuracy_after (the right answer is likelier; null of texts).
        """
        return pa.concat_tables(self._of_set(name) for name in SETS if self._own(name).any())

    def summary(self) -> dict[str, Any]:
        """The chosen setting, its effect on held-out prompts, its price, and what follows, as JSON values."""
        index = self.chosen
        setting = self.sweep.settings[index]
        rows = {row["set"]: _without(row) for row in self.table().to_pylist() if row["setting"] == index}
        return {
            "chosen": {"setting": index, "kind": setting.kind, "neurons": setting.names, "factors": setting.factors},
            "settings": len(self.sweep.settings),
            "sets": rows,
            "units": {row["outcome"]: UNITS[row["outcome"]] for row in rows.values()},
            "verdict": verdict_of(rows),
        }

    @property
    def edits(self) -> list[UnitEdit]:
        """The chosen setting as edits of neurons, which `save_model` writes into weights."""
        return self.sweep.settings[self.chosen].scaled.edits()

    def _own(self, name: str) -> Bool[np.ndarray, " items"]:
        """Which items are of a set."""
        return np.array(self.sweep.sets) == name

    def _of_set(self, name: str) -> pa.Table:
        own, settings = self._own(name), self.sweep.settings
        clean, edited = self.values.clean[own], self.values.edited[:, own]
        found, outcome = paired_mean(edited - clean), LOSS if name == TEXT else LOG_ODDS
        right = [None] * len(settings) if name == TEXT else (edited > 0).mean(axis=1)
        return pa.table({
            "setting": pa.array(range(len(settings)), pa.int32()),
            "kind": [setting.kind for setting in settings],
            "neurons": pa.array([setting.names for setting in settings], pa.list_(pa.string())),
            "factors": pa.array([setting.factors for setting in settings], pa.list_(pa.float64())),
            "set": [name] * len(settings), "outcome": [outcome] * len(settings),
            "effect": found.effect, "low": _known(found.low), "high": _known(found.high), "p": _known(found.p),
            "q": _known(adjust(found.p, self.correction).q), "prompts": found.prompts, "distinct": found.distinct,
            "before": np.full(len(settings), clean.mean()), "after": edited.mean(axis=1),
            "accuracy_before": _numbers([None if name == TEXT else (clean > 0).mean()] * len(settings)),
            "accuracy_after": _numbers(right),
        })  # fmt: skip


def verdict_of(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What follows from the chosen setting's rows by set, a sentence each."""
    chosen, held = rows[CHOOSING], rows[HELD_OUT]
    if chosen["effect"] <= 0:
        found = ["no setting raises the log odds of the right answer on the prompts that choose"]
    else:
        found = [f"held out: {_judged(held, 'better', 'worse', held['effect'])}"]
    prices = [(name, rows[name]) for name in (UNRELATED, TEXT) if name in rows]
    for name, row in prices:
        gain = row["effect"] if row["outcome"] == LOG_ODDS else -row["effect"]
        found.append(f"{name.replace('_', ' ')}: {_judged(row, 'better', 'worse, the price', gain)}")
    return found if prices else [*found, "the price is not known: no unrelated prompts or texts were given"]


def _judged(row: Mapping[str, Any], better: str, worse: str, gain: float) -> str:
    """A set in words: better or worse where the interval leaves 0 out."""
    unit = " a token" if row["outcome"] == LOSS else ""
    if row["low"] is None:
        return verdict(row["prompts"], row["distinct"])
    interval = f"{row['effect']:+.3f} nats{unit} in [{row['low']:+.3f}, {row['high']:+.3f}]"
    if row["low"] <= 0 <= row["high"]:
        return f"cannot be told from nothing: {interval}"
    return f"{better if gain > 0 else worse}: {interval}"


def _without(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table without what says which it is."""
    return {name: value for name, value in row.items() if name not in ("setting", "kind", "neurons", "factors", "set")}


def _known(values: Float[np.ndarray, " S"]) -> pa.Array:
    """Numbers, null where there are none."""
    return pa.array(values, pa.float64(), from_pandas=True)


def _numbers(values: Any) -> pa.Array:
    return pa.array(list(values), pa.float64())
