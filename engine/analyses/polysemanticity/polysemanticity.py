"""All scores of neurons side by side, and one order of them.

`effects.py`: directions and heads; `behaviours.py`: kinds of prompts; `words.py`: words, where decompositions are
given. No score is the others' master: `mean_rank` is the mean of a neuron's ranks, as shares from 0 (fewest) to 1
(most), by those of directions, beyond_component, heads, behaviours, words and coherence (reversed) that are known of
it. It orders the table and means no more than that.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float
from scipy import stats

from causeway.engine.analyses.ablate.ablate import Layer
from causeway.engine.analyses.components.code_sweep import Codes, CodeSweep
from causeway.engine.analyses.components.neuron_components import maps_of
from causeway.engine.analyses.polysemanticity import behaviours, effects, words
from causeway.engine.analyses.polysemanticity.words import LayerWords
from causeway.engine.progress import each
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.stats.group_bootstrap import blocks_of

# Of a chunk: maps, and codes on all prompts, in bytes.
CHUNK_BYTES = 2**28
TOLD = 3
RANKED = ("directions", "beyond_component", "heads", "behaviours", "words", "coherence")
REVERSED = ("coherence",)
NUMBERS = (*effects.COLUMNS, *behaviours.COLUMNS, *words.COLUMNS)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is scored.

    Attributes:
        sweep, codes: of the components. chosen: [P] prompts that chose. records: all prompts, in order.
        layers: what is known of the neurons. label: the field whose values are kinds of prompts.
        words: decompositions by layer. null_words: words and coherence by chance.
    """

    sweep: CodeSweep
    codes: Codes
    chosen: Bool[np.ndarray, " P"]
    records: Sequence[PromptRecord]
    layers: Mapping[int, Layer]
    label: str = "behaviour"
    words: Mapping[int, LayerWords] = dataclasses.field(default_factory=dict)
    null_words: tuple[float, float] = (np.nan, np.nan)
    seed: int = 0


def labels_of(records: Sequence[PromptRecord], name: str) -> list[str]:
    """The value of a field of each prompt, as text.

    Raises:
        ValueError: a prompt without it.
    """
    found = []
    for record in records:
        fields = {**record.fields, "behaviour": record.behaviour, "split": record.split, "group": record.cluster}
        if name not in fields:
            raise ValueError(
                f"label_field: prompt {record.id or record.text[:40]!r} has no field {name!r}; it has "
                f"{', '.join(sorted(fields))}"
            )
        found.append(str(fields[name]))
    return found


def scored(asked: Asked) -> pa.Table:
    """A row a neuron: layer, neuron, mean_rank, `NUMBERS` (NaN where unknown) and texts; most polysemantic first.

    Raises:
        ValueError: a prompt without the field of labels, or other prompts than the components'.
    """
    if len(asked.records) != len(asked.chosen) or len(asked.records) != len(asked.sweep.prompts):
        raise ValueError(
            f"prompts: got {len(asked.records)}; needs the {len(asked.sweep.prompts)} that the components were found on"
        )
    groups = [record.cluster for record in asked.records]
    labels = behaviours.Labels(labels_of(asked.records, asked.label), groups, asked.chosen, asked.seed)
    blocks = blocks_of(groups, asked.seed)
    columns: dict[str, list[Any]] = {name: [] for name in ("layer", "neuron", *NUMBERS, "texts")}
    for layer, own in asked.layers.items():
        neuron = own.components.neuron
        judged = each(f"neurons of layer {layer}", _neurons(asked, layer, blocks), "neuron", len(neuron))
        rows = [_row(one, draws, labels, threshold) for one, draws, threshold in judged]
        told: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
        nothing = {name: [np.nan] * len(neuron) for name in words.COLUMNS} | {"texts": [""] * len(neuron)}
        told |= words.word_scores(asked.words[layer], neuron, asked.null_words) if layer in asked.words else nothing
        told |= {"layer": [layer] * len(neuron), "neuron": neuron}
        for name, values in columns.items():
            values.extend(told[name])
    return _table(columns)


def _row(neuron: effects.Neuron, draws: effects.Draws, labels: behaviours.Labels, threshold: float) -> dict[str, float]:
    return effects.effect_scores(neuron, draws) | labels.scores(neuron, threshold)


def _neurons(asked: Asked, layer: int, blocks: np.ndarray) -> Any:
    """Each neuron of a layer with the layer's draws and its threshold."""
    own = asked.layers[layer]
    count = asked.codes.of(layer, slice(0, 1)).shape[2]
    draws = effects.Draws.of(asked.chosen, blocks, count, asked.seed)
    size = max(1, CHUNK_BYTES // (8 * count * (len(asked.chosen) + own.components.component.shape[1])))
    for start in range(0, len(own.components.neuron), size):
        part = slice(start, min(start + size, len(own.components.neuron)))
        maps = np.asarray(maps_of(asked.sweep.model.transformer, layer, own.components.neuron[part]), np.float64)
        codes = np.asarray(asked.codes.of(layer, part), np.float64)
        for place, one in enumerate(maps):
            component = one @ own.components.component[start + place].astype(np.float64)
            yield effects.Neuron(codes[:, place], one @ one.T, component), draws, float(own.threshold[start + place])


def _table(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    values = {name: np.asarray(columns[name], np.float64) for name in NUMBERS}
    rank = mean_rank({name: -values[name] if name in REVERSED else values[name] for name in RANKED})
    order = np.argsort(-np.nan_to_num(rank, nan=-1.0), kind="stable")
    table: dict[str, Any] = {name: np.asarray(columns[name], np.int32)[order] for name in ("layer", "neuron")}
    table |= {"mean_rank": rank[order], **{name: one[order] for name, one in values.items()}}
    return pa.table(table | {"texts": [columns["texts"][place] for place in order.tolist()]})


def mean_rank(scores: Mapping[str, Float[np.ndarray, " M"]]) -> Float[np.ndarray, " M"]:
    """Mean of a neuron's ranks among those whose score is known, from 0 to 1; NaN where none is."""
    ranks = []
    for values in scores.values():
        known = ~np.isnan(values)
        own = np.full(len(values), np.nan)
        if known.sum() > 1:
            own[known] = (stats.rankdata(values[known]) - 1) / (known.sum() - 1)
        ranks.append(own)
    table = np.array(ranks)
    count = (~np.isnan(table)).sum(axis=0)
    return np.where(count > 0, np.nansum(table, axis=0) / np.maximum(count, 1), np.nan)


def summary(asked: Asked, table: pa.Table) -> dict[str, Any]:
    """Counts and medians, as JSON values."""
    medians = {}
    for name in NUMBERS:
        known = table[name].to_numpy()
        known = known[~np.isnan(known)]
        medians[name] = float(np.median(known)) if len(known) else None
    return {
        "prompts": len(asked.records), "held_out": int((~asked.chosen).sum()), "neurons": table.num_rows,
        "vary": int((~np.isnan(table["directions"].to_numpy())).sum()), "label_field": asked.label,
        "labels": sorted(set(labels_of(asked.records, asked.label)))[:50], "medians": medians,
        "with_words": sorted(asked.words), "mean_rank_of": list(RANKED), "seed": asked.seed,
    }  # fmt: skip


def lines(table: pa.Table, about: Mapping[str, Any]) -> list[str]:
    """A report of one screen: what is usual, and the most and the least polysemantic neurons."""
    medians = about["medians"]
    rows = [row for row in table.to_pylist() if not np.isnan(row["mean_rank"])]
    counts = f"{about['vary']} of {about['neurons']} neurons vary over {about['prompts']} prompts"
    out = [f"{counts}; medians (by chance):"]
    for name, null in (("directions",) * 2, ("beyond_component", "beyond"), ("heads",) * 2, ("behaviours",) * 2,
                       ("information",) * 2, ("words",) * 2, ("coherence",) * 2):  # fmt: skip
        if medians[name] is not None:
            by_chance = medians[f"{null}_null"]
            out.append(f"  {name}: {medians[name]:.2f}" + ("" if by_chance is None else f" ({by_chance:.2f})"))
    for title, own in (("most", rows[:TOLD]), ("least", rows[TOLD:][::-1][:TOLD])):
        out.append(f"{title} polysemantic, by the mean of ranks:")
        out += [f"  {_told(row)}" for row in own]
    return out


def _told(row: Mapping[str, Any]) -> str:
    ends = "" if np.isnan(row["directions_low"]) else f" [{row['directions_low']:.1f}, {row['directions_high']:.1f}]"
    more = "" if np.isnan(row["behaviours"]) else f", acts on {row['acts_on']:.0f} kinds of prompts"
    texts = f": {row['texts']}" if row["texts"] else ""
    return (
        f"neuron {row['layer']}:{row['neuron']} {row['directions']:.1f}{ends} directions through {row['heads']:.1f} "
        f"heads, {row['beyond_component']:.0%} beyond its component{more}{texts}"
    )
