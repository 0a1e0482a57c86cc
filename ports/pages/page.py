"""Sections as one HTML file that needs nothing else: it opens from disk, asks no network for anything, and prints.

Texts go in through jinja's escaping, or as JSON in which nothing can end a script element (`table_data.script_json`);
what a model or a person wrote is set apart from the page's direction of writing by `<bdi>`, and cut where it is very
long, with the whole of it in a title. The page's own policy (Content-Security-Policy) lets it load nothing.

Charts are drawn by Vega, Vega-Lite and Vega-Embed, 0.9 MB of script that `vl_convert` carries; a page without charts
leaves it out. Licences: BSD-3-Clause, named in the script itself. Graphs are drawn by sigma and graphology, 0.5 MB,
MIT, as npm has them (vendored/VERSIONS.txt), by WebGL; their licences are in the page as comments.
"""

import functools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
from markupsafe import Markup, escape

from causeway.ports.pages import feature_cards, table_data
from causeway.ports.pages.charts.theme import VEGA_LITE, specification
from causeway.ports.pages.section import Chart, DataTable, FeatureCards, GraphView, Section

_HERE = Path(__file__).parent
# Rows of a `DataTable` that travel with the page; where there are more, the page says where all of them are.
MOST_ROWS = 5_000
# Of these, rows that the page shows when asked for.
MOST_SHOWN = 200
LONGEST_TEXT = 120
# What stands for a number that is not there.
NONE = "\N{EN DASH}"
# What draws graphs, in the order in which one needs another.
GRAPH_SCRIPTS = tuple(f"graph/{name}.js" for name in ("model", "elements", "picture", "details", "groups", "explorer"))
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:;"
    " base-uri 'none'; form-action 'none'"
)


def render(sections: Sequence[Section], title: str, made: str, live: str = "", note: str = "") -> str:
    """The page.

    Args:
        sections: in order. title: of the page. made: by what and when, for the foot of the page.
        live: the version of a page that a server sends, which asks it for later ones (`assets/live.js`); "" for a page
            that is a file. note: a warning above all sections.

    Raises:
        ValueError: two sections, or two blocks of a section, have one name, or one that no file could have.
    """
    check_names(sections)
    blocks = [block for section in sections for block in section.blocks]
    graphs = any(isinstance(block, GraphView) for block in blocks)
    # What keeps a page new is first: it remembers sections as they came, before charts are drawn in them.
    scripts = [Markup(asset(name)) for name in (*["live.js"] * bool(live), "page.js")]
    if any(isinstance(block, Chart) for block in blocks):
        scripts.insert(-1, Markup(_vega()))
    if graphs:
        scripts += [Markup(text) for text in (*_graph_libraries(), *map(asset, GRAPH_SCRIPTS))]
    shaded = any(isinstance(block, FeatureCards) for block in blocks)
    styles = ("page.css", *["feature_cards.css"] * shaded, *["graph/graph.css"] * graphs)
    style = Markup("".join(map(asset, styles)))
    template = _environment().get_template("page.html.j2")
    policy = POLICY + "; connect-src 'self'" * bool(live)
    told = {"title": title, "made": made, "live": live, "note": note}
    return template.render(sections=sections, policy=policy, style=style, scripts=scripts, **told)


def encoded(text: str) -> bytes:
    """The bytes of a page or another text; half of a surrogate pair, which JSON can hold and UTF-8 cannot, is a `?`."""
    return text.encode(errors="replace")


def check_names(sections: Sequence[Section]) -> None:
    """Refuse names that would not tell blocks apart.

    Raises:
        ValueError: naming them.
    """
    names = [section.anchor for section in sections]
    for section in sections:
        own = [block.name for block in section.blocks if isinstance(block, Chart | DataTable | GraphView)]
        names += [f"{section.anchor}-{name}" for name in own]
    for name in names:
        if names.count(name) > 1 or not re.fullmatch(r"[\w-]+", name, re.ASCII):
            raise ValueError(f"section: got the name {name!r}; needs letters, digits, - and _, each name once")


def asset(name: str) -> str:
    """The text of a file of assets/."""
    return (_HERE / "assets" / name).read_text(encoding="utf-8")


def text(value: Any) -> Markup:
    """A text that a model or a person wrote: apart from the page's direction, cut where it is very long."""
    value = str(value)
    if len(value) <= LONGEST_TEXT:
        return Markup("<bdi>{}</bdi>").format(value)
    cut = value[:LONGEST_TEXT] + "…"
    return Markup('<bdi title="{}">{}</bdi>').format(value, cut)


def number(value: Any) -> str:
    """A number as people read it: four digits that count, few enough zeros; an en dash for none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}") if abs(value) >= 10_000 else str(value)
    if not math.isfinite(value):
        return NONE
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def cell(value: Any) -> Markup:
    """A value of a table."""
    if value is None:
        return Markup(NONE)
    return text(value) if isinstance(value, str) else Markup(escape(number(value)))


def flat(facts: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Names and values; of mappings inside, names with dots."""
    found: list[tuple[str, Any]] = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{before}{name}.")
        else:
            found.append((f"{before}{name}", ", ".join(map(str, value)) if isinstance(value, list | tuple) else value))
    return found


def head(table: DataTable) -> list[list[Any]]:
    """The rows that are shown, at once or when asked for, of the columns that are."""
    names = list(table.headings) or table.table.column_names
    found = table_data.columns(table.table.select(names).slice(0, max(table.shown, MOST_SHOWN)))
    return [list(row) for row in zip(*found.values(), strict=True)]


def classes(table: DataTable) -> list[Markup]:
    """The attribute of the cells of each column that is shown: numbers stand to the right."""
    names = list(table.headings) or table.table.column_names
    kinds = [table.table.schema.field(name).type for name in names]
    numbers = [pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds]
    return [Markup(' class="number"') if is_number else Markup("") for is_number in numbers]


def embedded(block: Chart | DataTable) -> Markup:
    """The data of a block as JSON: columns for charts and CSV, and a Parquet file. A chart has all of its table."""
    table = block.table
    if isinstance(block, DataTable):
        table = table.select(list(block.headings) or table.column_names).slice(0, MOST_ROWS)
    data = {"columns": table_data.columns(table), "parquet": table_data.parquet_base64(table)}
    if isinstance(block, Chart):
        data["specification"] = specification(block)
    return Markup(table_data.script_json(data))


@functools.cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(_HERE / "templates")
    made = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    made.filters |= {"text": text, "cell": cell, "flat": flat, "head": head, "classes": classes, "embedded": embedded}
    made.filters["graph_json"] = lambda graph: Markup(table_data.script_json(graph))
    made.filters |= {name: getattr(feature_cards, name) for name in ("token", "shaded", "direction", "bar_heights")}
    made.tests["of"] = lambda block, name: type(block).__name__ == name
    made.globals["most_rows"] = MOST_ROWS
    return made


@functools.cache
def _graph_libraries() -> list[str]:
    """graphology and sigma, as `window.graphology` and `window.Sigma`; without lines that name other files."""
    found = []
    for folder, name in (("graphology", "graphology.umd.min.js"), ("sigma", "sigma.min.js")):
        place = _HERE / "vendored" / folder
        licences = "\n".join(path.read_text(encoding="utf-8") for path in sorted(place.glob("LICENSE*")))
        text = re.sub(r"^//# sourceMappingURL=.*$", "", (place / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
        found.append(f"/* {name}\n{licences}*/\n{text}")
    return found


@functools.cache
def _vega() -> str:
    """What draws charts, in a scope of its own; what it gives the page is `window.vegaEmbed`."""
    import vl_convert

    # Its own annotations ask for the code that the bundle is made for, which is all of it where none is given.
    bundle: Any = vl_convert.javascript_bundle
    return f"(function(){{{bundle(vl_version=VEGA_LITE)}}})();"
