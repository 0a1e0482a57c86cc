"""Error analysis of one model: neurons that tell right from wrong, prompts that show it, fields where errors lie.

Labels and sides: `labels.py`; neurons: `separation.py`; prompts: `examples.py`; fields: `fields.py`; what is read of a
neuron: `measures.py`.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.errors.examples import examples
from causeway.engine.analyses.errors.fields import error_rates
from causeway.engine.analyses.errors.labels import CLASSES, Labelled
from causeway.engine.analyses.errors.separation import CONFIRMED, LayerValues, separation
from causeway.engine.neurons import Neurons
from causeway.engine.stats.multiple import Method

KEEP, EXAMPLES, TOLD = 20, 5, 5
# Of each neuron (layer, number).
Words = Mapping[tuple[int, int], str]


@dataclasses.dataclass(frozen=True, eq=False)
class Errors:
    """What was found.

    Attributes:
        neurons: a row a neuron, the best on the prompts that choose first (`separation`).
        best: those judged on the others.
        examples: rows of prompts on which each of them is largest, among wrong and among right answers.
        fields: error rates by the values of the prompts' fields.
        about: counts and settings, as JSON values.
    """

    neurons: pa.Table
    best: Neurons
    examples: list[dict[str, Any]] = dataclasses.field(repr=False)
    fields: pa.Table = dataclasses.field(repr=False)
    about: Mapping[str, Any] = dataclasses.field(repr=False)

    def __repr__(self) -> str:
        first = self.neurons.slice(0, 1).to_pylist()[0]
        return (
            f"Errors({self.about['prompts']} prompts, {self.about['wrong']} wrong; {self.about['confirmed']} of "
            f"{len(self.best.layer)} neurons confirmed; best: {first['layer']}:{first['neuron']} AUC "
            f"{first['auc']:.2f}, held out {first['auc_held_out']:.2f})"
        )


def find_errors(
    layers: Iterable[LayerValues],
    given: Labelled,
    *,
    keep: int = KEEP,
    count: int = EXAMPLES,
    by: Sequence[str] = (),
    correction: Method = "bh",
    seed: int = 0,
) -> Errors:
    """Analyse errors.

    Args:
        layers: values of neurons on the prompts of `given`, layer by layer.
        keep: how many neurons are judged on the prompts that did not choose them. count: examples of each class.
        by: fields whose values get error rates; none: all that have few.

    Raises:
        ValueError: numbers below 1, a field that no prompt has, or neurons that do not vary.
    """
    scalars.integer(keep, "keep", 1)
    scalars.integer(count, "examples", 0)
    fields = error_rates(given, by, seed, correction)
    found = separation(layers, given, keep, seed, correction)
    shown = list(examples(given, found.best, found.values, count))
    verdicts = found.table["verdict"].to_pylist()[: len(found.best.layer)]
    about = {
        "prompts": len(given.records), "without_label": given.without, "right": int(given.right.sum()),
        "wrong": int((~given.right).sum()), "labels": given.labels, "classes": list(CLASSES[given.labels]),
        "cut": None if np.isnan(given.cut) else given.cut, "sides": given.told,
        "choosing": int(given.choose.sum()), "held_out": int((~given.choose).sum()),
        "groups": len(np.unique(given.clusters)), "strata": len(np.unique(given.strata)),
        "neurons": found.table.num_rows, "kept": len(verdicts), "confirmed": verdicts.count(CONFIRMED),
        "correction": correction, "seed": seed,
    }  # fmt: skip
    return Errors(found.table, found.best, shown, fields, about)


def lines(found: Errors, words: Words | None = None) -> list[str]:
    """A report of one screen."""
    about = found.about
    lower, upper = about["classes"]
    out = [
        f"{about['prompts']} prompts: {about['right']} {upper}, {about['wrong']} {lower}; {about['sides']}",
        f"{about['confirmed']} of the {about['kept']} neurons that tell them apart best ({about['choosing']} prompts "
        f"chose them of {about['neurons']}) are confirmed on the {about['held_out']} others",
    ]
    for row in found.neurons.slice(0, min(TOLD, len(found.best.layer))).to_pylist():
        pair = row["layer"], row["neuron"]
        out.append(f"neuron {pair[0]}:{pair[1]} larger where {upper if row['auc'] > 0.5 else lower}: {_told(row)}")
        if words and (own := words.get(pair)):
            out.append(f"  words: {own}")
        for name in (lower, upper):
            shown = [e for e in found.examples if (e["layer"], e["neuron"]) == pair and e["class"] == name][:2]
            out += [f"  {name}: {_shown(example)}" for example in shown]
    out += _concentrated(found.fields, lower)
    return out


def _told(row: Mapping[str, Any]) -> str:
    ends = "" if np.isnan(row["auc_low"]) else f" [{row['auc_low']:.2f}, {row['auc_high']:.2f}]"
    return (
        f"AUC {row['auc']:.2f} where chosen, {row['auc_held_out']:.2f}{ends} held out, "
        f"q {row['q_held_out']:.2g}: {row['verdict']}"
    )


def _shown(example: Mapping[str, Any]) -> str:
    margin = "" if example["margin"] is None else f", margin {example['margin']:+.2f}"
    prompt = example["prompt"] if isinstance(example["prompt"], str) else f"{len(example['prompt'])} tokens"
    return (
        f"{example['value']:+.3f} on {prompt[-60:]!r}: answers {example['given_answer']!r}, right is "
        f"{example['right_answer']!r}{margin}"
    )


def _concentrated(fields: pa.Table, lower: str) -> list[str]:
    """The values with the smallest q, where errors are more than elsewhere."""
    rows = [row for row in fields.to_pylist() if row["q"] is not None and row["error_rate"] > (row["others"] or 0)]
    rows.sort(key=lambda row: (row["q"], -row["error_rate"]))
    return [
        f"{row['field']} {row['value']}: {row['wrong']} of {row['prompts']} {lower} ({row['error_rate']:.0%}"
        + ("" if row["low"] is None else f" [{row['low']:.0%}, {row['high']:.0%}]")
        + f"; others {row['others']:.0%}), q {row['q']:.2g}"
        for row in rows[:TOLD]
        if row["others"] is not None
    ]
