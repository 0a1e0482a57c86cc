"""A report with what it was made from, as one archive to send or to keep beside a paper.

    report.html       the page
    methods.md        what was done, in sentences
    figures/          every chart, as PNG and SVG
    results/          plans, summaries and tables that commands wrote below the folder, by their names there
    contents.json     every file's size and sha256, each result's command and fingerprint, and what is left out, and why

Only files of names that commands write (`KEPT`), in results' folders and below them, are taken: whatever else lies
there may be anybody's, and is named in contents.json alone. Large data stays where it is too: arrays, units of sweeps,
files above `LARGEST` bytes, and what would take the tables over `MOST` bytes together, smallest kept first. The same
folder gives the same bytes: names are sorted, and times are those of the format's beginning.
"""

import dataclasses
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Collection, Mapping, Sequence, Set
from pathlib import Path

from causeway.ports.pages.figures import charts_of, draw
from causeway.ports.pages.methods import as_markdown
from causeway.ports.pages.page import encoded
from causeway.ports.pages.section import Section
from causeway.ports.pages.workdir import Result, folders

LARGEST, MOST = 8 << 20, 64 << 20
# Names that commands give to what they write into the folders of their results.
KEPT = re.compile(
    r"""
    .*\.parquet | causeway\.sha256 | (baseline|feature_importance_layer|intervention)_.*\.csv
    | (adversarial|events|examples|games|generations|lexicon|metadata|prompts|rendered_prompts|scores|.*_train|.*_test)
      \.jsonl
    | (plan|summary|.*_summary|.*_layer_meta|ablate|adversarial|all_features|candidates|causal_features|checksums
      |clusters|components|data_validation|decompose|directions|edit|errors|graphs|integrated|interventions|mediation|pathways
      |polysemanticity|prompts|prompts_sample|quality|rank|replay|represent|second_order|select|study|token_associations
      |tokens|trials|validated_pathways|(attribution_graph|baseline_metrics|decomposition_layer|feature_word_effects
      |reparsed|responses)_.*)\.json
    """,
    re.VERBOSE | re.DOTALL,
)
_EARLIEST = (1980, 1, 1, 0, 0, 0)
CONTENTS = "contents.json"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """What an archive holds.

    Attributes:
        content: the archive. files: names in it. left_out: files and folders that are not, each with the reason.
    """

    content: bytes
    files: tuple[str, ...]
    left_out: Mapping[str, str]

    def told(self, path: Path) -> str:
        """What is in the archive, written to a path, and what is not."""
        left = f"; {len(self.left_out)} files and folders are left out, as its {CONTENTS} says" if self.left_out else ""
        return f"{len(self.files)} files, {len(self.content) / 1e6:.1f} MB: {path}{left}"


def make_bundle(
    folder: Path,
    results: Sequence[Result],
    sections: Sequence[Section],
    page: str,
    questions: Mapping[str, str],
    but: Collection[Path] = (),
) -> Bundle:
    """The archive; nothing is written.

    Args:
        folder: that was looked at. results, sections, page: what it gave. questions: what each command answers.
        but: files and folders that the report itself is written to, which are not looked at.
    """
    files = {"report.html": encoded(page), "methods.md": encoded(as_markdown(results, questions))}
    for name, chart in charts_of(sections).items():
        files |= {f"figures/{name}.{form}": draw(chart, form) for form in ("png", "svg")}
    kept, left_out = _chosen(folder, results, {path.absolute() for path in but})
    files |= {f"results/{name}": (folder / name).read_bytes() for name in kept}
    files[CONTENTS] = _contents(files, results, left_out)
    return Bundle(_packed(files), tuple(sorted(files)), left_out)


def _chosen(folder: Path, results: Sequence[Result], but: Set[Path]) -> tuple[list[str], dict[str, str]]:
    """Names of the files that go in, and of what does not, with the reason."""
    sizes, parts = _listed(folder, but)
    own = {result.folder for result in results}
    left_out = {f"{name}/": f"parts of results: {files} files, {size} bytes" for name, (files, size) in parts.items()}
    left_out |= {
        name: "no plan, summary or table of a command" for name in sizes if not KEPT.fullmatch(Path(name).name)
    }
    outside = {name for name in sizes if own.isdisjoint((folder / name).parents)}
    left_out |= dict.fromkeys(outside, "in no folder of a command's results")
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


def _listed(folder: Path, but: Set[Path]) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
    """Sizes of files by their names below the folder; of folders that hold parts, how many files and bytes."""
    sizes, parts = {}, {}
    looked_into = [place for place in folders(folder) if but.isdisjoint((place.absolute(), *place.absolute().parents))]
    for path in (path for place in looked_into for path in place.iterdir()):
        name = path.relative_to(folder).as_posix()
        if path.name.startswith(".") or path.is_symlink() or path in looked_into or path.absolute() in but:
            continue
        if path.is_dir():
            inside = [part.stat().st_size for part in path.rglob("*") if part.is_file()]
            parts[name] = len(inside), sum(inside)
        elif path.is_file():
            sizes[name] = path.stat().st_size
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
