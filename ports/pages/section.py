"""What a page is made of, as data: sections of blocks.

Texts are plain texts, whoever wrote them: `page` escapes them, sets them apart from the page's own direction of writing
and shortens those that are very long. A chart is an altair chart that reads a data source named `TABLE`, and its table,
so that page, PNG, SVG and the files that a reader downloads show the same numbers.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

# The name of a chart's data source.
TABLE = "table"


@dataclasses.dataclass(frozen=True)
class Prose:
    """A paragraph.

    Attributes:
        text: plain. kind: a note explains how something is read; a warning says what to beware of.
    """

    text: str
    kind: Literal["text", "note", "warning"] = "text"


@dataclasses.dataclass(frozen=True)
class Missing:
    """Something that is not there.

    Attributes:
        text: what, and why. command: what brings it; "" for nothing.
    """

    text: str
    command: str = ""


@dataclasses.dataclass(frozen=True)
class Card:
    """One figure in large type, with what it counts and what to know of it."""

    label: str
    value: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Cards:
    """Figures beside each other."""

    cards: Sequence[Card]


@dataclasses.dataclass(frozen=True)
class Chart:
    """A picture of a table.

    Attributes:
        name: of its files: letters, digits and _; no other chart of the section has it.
        title, caption: what it shows; the caption says the units and what bars and intervals are, and is what people
            who cannot see it are told.
        chart: an altair chart that reads the data source `TABLE`.
        table: its rows, which a reader can download; all of them are in the page, so a few thousand at most.
    """

    name: str
    title: str
    caption: str
    chart: Any
    table: pa.Table


@dataclasses.dataclass(frozen=True)
class DataTable:
    """Rows of a table.

    Attributes:
        name, title, caption: as of a chart.
        table: rows, strongest first.
        headings: the columns that are shown and that a reader can download, each with its heading and unit; none for
            all.
        shown: rows shown at once; more are shown when asked for.
        file: where the whole table is, said where rows are left out of the page.
    """

    name: str
    title: str
    caption: str
    table: pa.Table
    headings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    shown: int = 20
    file: str = ""


@dataclasses.dataclass(frozen=True)
class Facts:
    """Names and values, folded away behind a title: a plan, a provenance.

    Attributes:
        title: what they are. facts: by name; mappings inside become names with dots.
    """

    title: str
    facts: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class GraphView:
    """A graph to look into.

    Attributes:
        name, title, caption: as of a chart.
        graph: what the scripts of `assets/graph/` draw, JSON-able.
    """

    name: str
    title: str
    caption: str
    graph: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Snippet:
    """Tokens of a text with a feature's value at each.

    Attributes:
        tokens: texts. values: as many numbers. peak: place of the token that is meant. note: where it is from.
    """

    tokens: Sequence[str]
    values: Sequence[float]
    peak: int
    note: str = ""


@dataclasses.dataclass(frozen=True)
class FeatureCard:
    """What is known of a feature.

    Attributes:
        title: its layer and number. label: what it is called; "" for nothing.
        figures: some numbers, in words. bars: (from, to, count) of its values.
        promoted, suppressed: (token, weight). contexts: groups of texts, each with its heading.
        sides: what stands before the two lists of tokens.
    """

    title: str
    label: str
    figures: Sequence[str]
    bars: Sequence[tuple[float, float, int]]
    promoted: Sequence[tuple[str, float]]
    suppressed: Sequence[tuple[str, float]]
    contexts: Sequence[tuple[str, Sequence[Snippet]]]
    sides: tuple[str, str] = ("promotes", "suppresses")


@dataclasses.dataclass(frozen=True)
class FeatureCards:
    """Cards of features, below each other.

    Attributes:
        title, caption: what they are, and how they are read. cards: in order.
    """

    title: str
    caption: str
    cards: Sequence[FeatureCard]


Block = Prose | Missing | Cards | Chart | DataTable | Facts | GraphView | FeatureCards


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: its heading. anchor: its place in the page: letters, digits, - and _; no other section has it.
        blocks: in order. lead: a line under the heading.
    """

    title: str
    anchor: str
    blocks: Sequence[Block]
    lead: str = ""


def unreadable(what: str, folder: Path, error: Exception) -> Missing:
    """In place of what a reader of files failed on, however it did.

    Args:
        what: cannot be done. folder: that was read. error: what came of it.
    """
    said = " ".join(str(error).split())
    kind = "" if isinstance(error, ValueError | OSError) and said else f"{type(error).__name__}: "
    return Missing(f"{what}: {folder}: {kind}{said}")
