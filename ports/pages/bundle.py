"""A report with what it was made from, as one archive to send or to keep beside a paper.

    report.html       the page
    methods.md        what was done, in sentences
    figures/          every chart, as PNG and SVG
    results/          configurations, plans, summaries and tables below the folder, by their names there
    contents.json     every file's size and sha256, each result's command and fingerprint, and what is left out, and why

Large data stays where it is: arrays, units of sweeps, files above `LARGEST` bytes, and what would take the tables over
`MOST` bytes together, smallest kept first. The same folder gives the same bytes: names are sorted, and times are those
of the format's beginning.
"""

import dataclasses
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from causeway.engine.sweep import durable
from causeway.ports.pages.figures import charts_of, draw
from causeway.ports.pages.methods import as_markdown
from causeway.ports.pages.page import encoded
from causeway.ports.pages.section import Section
from causeway.ports.pages.workdir import Result, is_inside

LARGEST, MOST = 8 << 20, 64 << 20
KEPT = (".csv", ".json", ".jsonl", ".md", ".parquet", ".py", ".sha256", ".txt", ".yaml", ".yml")
_EARLIEST = (1980, 1, 1, 0, 0, 0)
CONTENTS = "contents.json"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """What an archive holds.

    Attributes:
        size: bytes of the archive. files: names in it. left_out: files and folders that are not, each with the reason.
    """

    size: int
    files: tuple[str, ...]
    left_out: Mapping[str, str]


def write_bundle(
    path: Path,
    folder: Path,
    results: Sequence[Result],
    sections: Sequence[Section],
    page: str,
    questions: Mapping[str, str],
) -> Bundle:
    """Writes the archive in place of what is there.

    Args:
        path: of the archive. folder: that was looked at. results, sections, page: what it gave. questions: what each
            command answers.
    """
    files = {"report.html": encoded(page), "methods.md": encoded(as_markdown(results, questions))}
    for name, chart in charts_of(sections).items():
        files |= {f"figures/{name}.{form}": draw(chart, form) for form in ("png", "svg")}
    kept, left_out = _chosen(folder, path)
    files |= {f"results/{name}": (folder / name).read_bytes() for name in kept}
    files[CONTENTS] = _contents(files, results, left_out)
    durable.make_folder(path.parent)
    packed = _packed(files)
    durable.write_bytes(path, packed)
    return Bundle(len(packed), tuple(sorted(files)), left_out)


def _chosen(folder: Path, but: Path) -> tuple[list[str], dict[str, str]]:
    """Names of the files that go in, and of what does not, with the reason."""
    sizes, parts = _listed(folder, but)
    left_out = {f"{name}/": f"parts of results: {files} files, {size} bytes" for name, (files, size) in parts.items()}
    left_out |= {name: "no plan, summary or table" for name in sizes if Path(name).suffix not in KEPT}
    kept, total = [], 0
    for name in sorted(sizes.keys() - left_out.keys(), key=lambda name: (sizes[name], name)):
        total += sizes[name]
        if sizes[name] > LARGEST:
            left_out[name] = f"{sizes[name]} bytes; files up to {LARGEST} are taken"
        elif total > MOST:
            left_out[name] = f"{sizes[name]} bytes; {MOST} are taken in all, smaller files first"
        else:
            kept.append(name)
    return sorted(kept), dict(sorted(left_out.items()))


def _listed(folder: Path, but: Path) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
    """Sizes of files by their names below the folder; of folders that hold parts, how many files and bytes."""
    sizes, parts = {}, {}
    for here, below, files in os.walk(folder):
        place = Path(here)
        for name in [name for name in below if is_inside(name) and not name.startswith(".")]:
            inside = [path.stat().st_size for path in (place / name).rglob("*") if path.is_file()]
            parts[(place / name).relative_to(folder).as_posix()] = len(inside), sum(inside)
        below[:] = [name for name in below if not is_inside(name)]
        for path in (place / name for name in files if not name.startswith(".")):
            if path.is_file() and not path.is_symlink() and path.absolute() != but.absolute():
                sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    return sizes, parts


def _contents(files: Mapping[str, bytes], results: Sequence[Result], left_out: Mapping[str, str]) -> bytes:
    held = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in sorted(files.items())
    }
    of = [
        {"command": f"causeway {result.driver}", "folder": result.name or ".",
         "fingerprint": result.plan.get("fingerprint", ""), "missing": result.missing}
        for result in results
    ]  # fmt: skip
    told = {"files": held, "results": of, "left_out": left_out}
    return encoded(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def _packed(files: Mapping[str, bytes]) -> bytes:
    """A zip whose bytes follow from names and contents alone."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
            archive.writestr(entry, data, compresslevel=6)
    return whole.getvalue()
