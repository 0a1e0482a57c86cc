"""Let me look at it: a page of everything that a folder's results say, in one file that opens anywhere.

Read from --workdir: the folder of any command, or one that holds many, such as a study's. Written to --out (report.html
in that folder): charts with intervals and units, tables, what each result was made from, and of what is unfinished how
far it is and how it goes on. The page needs no network and prints. With --figures every chart is also written as PNG
(or as SVG, --figures=png,svg) to NAME_figures/ beside NAME.html. --bundle=FILE.zip also packs page, charts, methods,
plans, summaries and tables into one archive, the same for the same folder; it says what it leaves out.

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

    from causeway.ports.pages.section import Section

FLAGS = take("shown_folder graph_file page figures bundle overwrite")


def main(_: list[str]) -> None:
    """Find results, make sections of them, write."""
    if FLAGS.graph and FLAGS.workdir:
        raise ValueError("--graph, --workdir: needs one of them")
    place = Path(FLAGS.graph or given("workdir", "the folder of a command's results, or one that holds several such"))
    if FLAGS.graph:
        no_effect("with --graph", "bundle")
    out = _checked_out(place)
    from causeway.drivers.main import versions
    from causeway.engine.sweep import durable
    from causeway.ports.pages import figures, page

    sections, said = _graphs(place) if FLAGS.graph else _results(place)
    title = f"{'Graph of' if FLAGS.graph else 'Results in'} {place.absolute().name}"
    made = f"Made by causeway report, {datetime.date.today()}: {versions()}"
    durable.make_folder(out.parent)
    durable.write_bytes(out, page.render(sections, title, made).encode())
    print(f"{said}: {out}")
    if FLAGS.figures:
        folder = out.with_name(f"{out.stem}_figures")
        print(f"{len(figures.write_figures(sections, folder, FLAGS.figures.split(',')))} figures: {folder}")
    if FLAGS.bundle:
        print(_bundled(place, sections, page.render(sections, title, f"Made by causeway report: {versions()}")))


def _results(workdir: Path) -> tuple[list[Section], str]:
    """Sections of the results of a folder, and how many there are."""
    from causeway.drivers.main import QUESTIONS
    from causeway.ports.pages.sections import sections_of
    from causeway.ports.pages.workdir import find_results

    with named("workdir"):
        results = find_results(workdir)
    whole = sum(result.whole for result in results)
    return sections_of(results, QUESTIONS), f"{len(results)} results, {len(results) - whole} of them unfinished"


def _bundled(workdir: Path, sections: Sequence[Section], content: str) -> str:
    """Writes the archive; what is in it and what is not."""
    from causeway.drivers.main import QUESTIONS
    from causeway.ports.pages.bundle import CONTENTS, write_bundle
    from causeway.ports.pages.workdir import find_results

    path = Path(FLAGS.bundle)
    made = write_bundle(path, workdir, find_results(workdir), sections, content, QUESTIONS)
    left = f"; {len(made.left_out)} files and folders are left out, as its {CONTENTS} says" if made.left_out else ""
    return f"{len(made.files)} files, {made.size / 1e6:.1f} MB: {path}{left}"


def _graphs(place: Path) -> tuple[list[Section], str]:
    """Sections of a graph file, or of those of a folder."""
    from causeway.ports.pages.graph_page import graph_sections

    with named("graph"):
        sections = graph_sections(place)
    return sections, f"{len(sections)} graphs" if len(sections) > 1 else "1 graph"


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
