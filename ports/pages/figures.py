"""The charts of a page as pictures, for papers: each as PNG or SVG, drawn from the same specification, offline."""

from collections.abc import Sequence
from pathlib import Path

from causeway.engine.sweep import durable
from causeway.ports.pages.charts.theme import VEGA_LITE, with_data
from causeway.ports.pages.section import Chart, Section

# Pixels a point of a PNG: a chart 640 wide comes to 1,920, which is 300 an inch at 6.4 inches.
SCALE = 3.0


def write_figures(sections: Sequence[Section], folder: Path, formats: Sequence[str]) -> list[Path]:
    """Writes every chart as ANCHOR-NAME.FORMAT, each whole or not at all.

    Args:
        sections: of a page. folder: made where it is not there. formats: png, svg or both.

    Returns:
        The files.
    """
    charts = charts_of(sections)
    paths = {folder / f"{name}.{form}": chart for name, chart in charts.items() for form in formats}
    for path, chart in paths.items():
        write_figure(path, chart)
    return list(paths)


def charts_of(sections: Sequence[Section]) -> dict[str, Chart]:
    """The charts of a page, by the names of their files without a format."""
    return {
        f"{section.anchor}-{block.name}": block
        for section in sections
        for block in section.blocks
        if isinstance(block, Chart)
    }


def write_figure(path: Path, chart: Chart) -> None:
    """Writes a chart in place of what is there, in the format of the file's name."""
    durable.make_folder(path.parent)
    durable.write_bytes(path, draw(chart, path.suffix.removeprefix(".")))


def draw(chart: Chart, form: str) -> bytes:
    """A chart as the bytes of a PNG, SVG or PDF, on white."""
    import vl_convert

    document = with_data(chart)
    document["config"] = {**document["config"], "background": "white"}
    if form == "svg":
        return vl_convert.vegalite_to_svg(document, vl_version=VEGA_LITE).encode()
    if form == "pdf":
        return vl_convert.vegalite_to_pdf(document, vl_version=VEGA_LITE)
    return vl_convert.vegalite_to_png(document, vl_version=VEGA_LITE, scale=SCALE)
