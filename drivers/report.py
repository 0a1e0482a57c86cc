"""Let me look at it: a page of everything that a folder's results say, in one file that opens anywhere.

Read from --workdir: the folder of any command, or one that holds many, such as a study's. Written to --out (report.html
in that folder): charts with intervals and units, tables, what each result was made from, and of what is unfinished how
far it is and how it goes on. The page needs no network and prints. With --figures every chart is also written as PNG
(or as SVG, --figures=png,svg) to NAME_figures/ beside NAME.html. --bundle=FILE.zip also packs page, charts, methods,
plans, summaries and tables into one archive, the same for the same folder; it says what it leaves out.

--compare=A,B puts two folders beside each other and writes to --out: in what plans differ, field by field, and what
both measured, such as effects, joined by its keys: how far they agree, and the largest differences.

--graph=FILE.json shows an attribution graph alone, of Neuronpedia, circuit-tracer or `attribute`, with its pins and
groups; a folder shows all that it holds. What is pinned, grouped and labelled on a page is downloaded as such a file.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags.flag_values import given, named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from causeway.ports.pages.bundle import Bundle
    from causeway.ports.pages.section import Section
    from causeway.ports.pages.workdir import Result

FLAGS = take("shown_folder graph_file compare page figures bundle overwrite")


def main(_: list[str]) -> None:
    """Find results, make sections of them, write."""
    out = _checked_out(place := _asked())
    # What draws takes seconds to import, which nobody should spend on a folder without results.
    results = [] if FLAGS.compare or FLAGS.graph else _found(place)
    sections, said, title = _compared() if FLAGS.compare else _graphs(place) if FLAGS.graph else _shown(place, results)
    from causeway.drivers.main import versions
    from causeway.engine.sweep import durable
    from causeway.ports.pages import figures, page

    made = f"Made by causeway report, {datetime.date.today()}: {versions()}"
    folder = out.with_name(f"{out.stem}_figures")
    content = page.encoded(page.render(sections, title, made))
    undated = page.render(sections, title, f"Made by causeway report: {versions()}") if FLAGS.bundle else ""
    # Before anything is written: where it cannot be made, there is no new page either.
    bundle = _bundled(place, results, sections, undated, out, folder) if FLAGS.bundle else None
    durable.make_folder(out.parent)
    durable.write_bytes(out, content)
    print(f"{said}: {out}")
    if FLAGS.figures:
        print(f"{len(figures.write_figures(sections, folder, FLAGS.figures.split(',')))} figures: {folder}")
    if bundle:
        durable.write_bytes(Path(FLAGS.bundle), bundle.content)
        print(bundle.told(Path(FLAGS.bundle)))


def _asked() -> Path:
    """What is looked at: a folder, a graph file, or the first of two folders that are compared."""
    for name in ("out", "bundle", "compare", "graph"):
        if FLAGS[name].present and not FLAGS[name].value:
            raise ValueError(f"--{name}: got nothing after the =; give a value or leave it out")
    given_ones = [f"--{name}" for name in ("workdir", "graph", "compare") if getattr(FLAGS, name)]
    if len(given_ones) > 1:
        raise ValueError(f"{', '.join(given_ones)}: were given together; leave all but one out")
    if FLAGS.graph or FLAGS.compare:
        no_effect(f"with {given_ones[0]}", "bundle")
    if FLAGS.compare:
        if len(FLAGS.compare) != 2:
            raise ValueError(f"--compare: got {','.join(FLAGS.compare)}; needs two folders, A,B")
        given("out", "the page to write, since --compare has two folders")
    needed = "the folder of a command's results, or one that holds several such"
    return Path(FLAGS.compare[0] if FLAGS.compare else FLAGS.graph or given("workdir", needed))


def _compared() -> tuple[list[Section], str, str]:
    """Sections of two folders beside each other, how many results were compared, and the page's title."""
    from causeway.drivers.main import QUESTIONS
    from causeway.ports.pages.comparison import compared

    first, second = map(Path, FLAGS.compare)
    with named("compare"):
        sections = compared(first, second, QUESTIONS)
    names = (first.absolute().name, second.absolute().name)
    return sections, f"{len(sections) - 1} results compared", f"{names[0]} and {names[1]}, compared"


def _found(workdir: Path) -> list[Result]:
    from causeway.ports.pages.workdir import find_results

    with named("workdir"):
        return find_results(workdir)


def _shown(workdir: Path, results: Sequence[Result]) -> tuple[list[Section], str, str]:
    """Sections of the results of a folder, how many there are, and the page's title."""
    from causeway.drivers.main import QUESTIONS
    from causeway.ports.pages.sections import sections_of

    whole = sum(result.whole for result in results)
    said = f"{len(results)} results, {len(results) - whole} of them unfinished"
    return sections_of(results, QUESTIONS), said, f"Results in {workdir.absolute().name}"


def _bundled(workdir: Path, results: Sequence[Result], sections: Sequence[Section], page: str, *own: Path) -> Bundle:
    """The archive, without what the report itself writes."""
    from causeway.drivers.main import QUESTIONS
    from causeway.engine.sweep import durable
    from causeway.ports.pages.bundle import make_bundle

    durable.make_folder(Path(FLAGS.bundle).parent)
    return make_bundle(workdir, results, sections, page, QUESTIONS, {*own, Path(FLAGS.bundle)})


def _graphs(place: Path) -> tuple[list[Section], str, str]:
    """Sections of a graph file, or of those of a folder; how many, and the page's title."""
    from causeway.ports.pages.graph_page import graph_sections

    with named("graph"):
        sections = graph_sections(place)
    said = f"{len(sections)} graphs" if len(sections) > 1 else "1 graph"
    return sections, said, f"Graph of {place.absolute().name}"


def _checked_out(place: Path) -> Path:
    """The file to write, after the checks that need no result."""
    usual = place.with_suffix(".html") if FLAGS.graph and place.suffix == ".json" else place / "report.html"
    out = Path(FLAGS.out) if FLAGS.out else usual
    _check_free("out", out, ".html")
    if FLAGS.bundle:
        _check_free("bundle", Path(FLAGS.bundle), ".zip")
    return out


def _check_free(flag: str, path: Path, suffix: str) -> None:
    """Refuse a file that has another ending, or that is there."""
    if path.suffix != suffix:
        raise ValueError(f"--{flag}: got {path}; needs the name of a file that ends in {suffix}")
    if path.is_dir() or (path.exists() and not FLAGS.overwrite):
        raise ValueError(f"--{flag}: {path} is there already; give another file or --overwrite")


if __name__ == "__main__":
    run_driver(main, sys.argv)
