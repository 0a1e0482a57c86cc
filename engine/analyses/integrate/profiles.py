"""What each feature of a layer shares with the others: its pathways and its words as signs, and how alike two are.

A feature's profile has a column for each thing it was found to do, with the sign of what it does:

    pathways   a column for each target that it drives and for each source that drives it, +1 where more of the source
               is more of the target, -1 where it is less
    words      a column for each (context, contrast, word), +1 added, -1 removed; tokens where there are no words

Signs, not sizes: effects on two targets stand in the targets' own units and have no common scale. Two features are
alike by what they share,

    s = mean over parts of  sum_c a_c b_c / sqrt(|a| |b|)        |a|: how many columns a has in that part

the cosine of signs: agreements less disagreements, by the geometric mean of how much either does; -1 to 1. A part that
one of the two has nothing in does not count; with no part in common they are not alike (0).

Shapes: F features of a layer, C columns.
"""

import dataclasses

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int8

from causeway.engine.analyses.integrate.by_feature import Feature, name_of

# What a column is of: ("drives", "L17-789"), ("driven by", "L9-456"), (context, contrast, "bet").
Column = tuple[str, ...]
Entries = list[tuple[Feature, Column, int]]


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of the profiles of a layer.

    Attributes:
        signs: [F, C]. names: of the columns.
    """

    signs: Int8[np.ndarray, "F C"]
    names: tuple[Column, ...]


def pathway_entries(found: pa.Table) -> Entries:
    """What each feature drives, and what drives it, from pathways that were found."""
    entries: Entries = []
    for row in found.to_pylist():
        if not row["drive"]:
            continue
        source, target = ((row[f"{end}_layer"], row[f"{end}_feature"]) for end in ("source", "target"))
        sign = 1 if row["drive"] > 0 else -1
        entries.append((source, ("drives", name_of(target)), sign))
        entries.append((target, ("driven by", name_of(source)), sign))
    return entries


def text_entries(found: pa.Table) -> Entries:
    """Words that each feature adds or removes; tokens where there are no words."""
    units = set(found["unit"].to_pylist())
    unit = "word" if "word" in units else "token"
    names = ("layer", "feature", "unit", "context", "contrast", "text", "direction")
    rows = zip(*(found[name].to_pylist() for name in names), strict=True)
    return [
        ((layer, feature), (context, contrast, text), 1 if direction == "adds" else -1)
        for layer, feature, kind, context, contrast, text, direction in rows
        if kind == unit
    ]


def part(features: list[Feature], entries: Entries) -> Part:
    """Signs of some features; columns that none of them has are left out."""
    rows = {feature: row for row, feature in enumerate(features)}
    own = [entry for entry in entries if entry[0] in rows]
    names = tuple(dict.fromkeys(name for _, name, _ in own))
    columns = {name: column for column, name in enumerate(names)}
    signs = np.zeros((len(features), len(names)), np.int8)
    for feature, name, sign in own:
        signs[rows[feature], columns[name]] = sign
    return Part(signs, names)


def similarity(parts: list[Part]) -> Float[np.ndarray, "F F"]:
    """How alike any two features are; the diagonal is 1.

    Cost: F^2 C multiplications a part.
    """
    count = len(parts[0].signs)
    total, shared = np.zeros((count, count)), np.zeros((count, count))
    for one in parts:
        signs = one.signs.astype(np.float32)
        sizes = np.sqrt(np.abs(signs).sum(axis=1, dtype=np.float64))
        lengths = np.outer(sizes, sizes)
        total += np.divide(signs @ signs.T, lengths, out=np.zeros_like(total), where=lengths > 0)
        shared += lengths > 0
    found = np.divide(total, shared, out=np.zeros_like(total), where=shared > 0)
    np.fill_diagonal(found, 1.0)
    return found


def chance(parts: list[Part], seed: int, draws: int = 20) -> float:
    """The largest similarity of any two features where features have nothing to do with each other.

    Each column's signs are dealt out anew among the features, `draws` times: how common a word or a target is stays,
    who shares it does not.

    Returns:
        The 95th percentile over draws of the largest similarity of two different features.
    """
    generator = np.random.default_rng(seed)
    largest = []
    for _ in range(draws):
        dealt = [Part(generator.permuted(one.signs, axis=0), one.names) for one in parts]
        found = similarity(dealt)
        largest.append(found[~np.eye(len(found), dtype=bool)].max(initial=0.0))
    return float(np.quantile(largest, 0.95))
