"""Let me look at it: a page of everything that a folder's results say, in one file that opens anywhere.

Read from --workdir: the folder of any command, or one that holds many, such as a study's. Written to --out (report.html
in that folder): charts with intervals and units, tables, what each result was made from, and of what is unfinished how
far it is and how it goes on. The page needs no network and prints. With --figures every chart is also written as PNG
(or as SVG, --figures=png,svg) to NAME_figures/ beside NAME.html.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

from causeway.drivers.flags.flag_values import given, named
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

FLAGS = take("shown_folder page figures overwrite")


def main(_: list[str]) -> None:
    """Find results, make sections of them, write."""
    workdir = Path(given("workdir", "the folder of a command's results, or one that holds several such"))
    out = _checked_out(workdir)
    from causeway.drivers.main import QUESTIONS, versions
    from causeway.engine.sweep import durable
    from causeway.ports.pages import figures, page
    from causeway.ports.pages.sections import sections_of
    from causeway.ports.pages.workdir import find_results

    with named("workdir"):
        results = find_results(workdir)
    sections = sections_of(results, QUESTIONS)
    title = f"Results in {workdir.absolute().name}"
    made = f"Made by causeway report, {datetime.date.today()}: {versions()}"
    durable.make_folder(out.parent)
    durable.write_bytes(out, page.render(sections, title, made).encode())
    whole = sum(result.whole for result in results)
    print(f"{len(results)} results, {len(results) - whole} of them unfinished: {out}")
    if FLAGS.figures:
        folder = out.with_name(f"{out.stem}_figures")
        print(f"{len(figures.write_figures(sections, folder, FLAGS.figures.split(',')))} figures: {folder}")


def _checked_out(workdir: Path) -> Path:
    """The file to write, after the checks that need no result."""
    out = Path(FLAGS.out) if FLAGS.out else workdir / "report.html"
    if out.suffix != ".html":
        raise ValueError(f"--out: got {out}; needs the name of a file that ends in .html")
    if out.is_dir() or (out.exists() and not FLAGS.overwrite):
        raise ValueError(f"--out: {out} is there already; give another file or --overwrite")
    return out


if __name__ == "__main__":
    run_driver(main, sys.argv)
