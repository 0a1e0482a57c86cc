"""The page of graph files alone, ours or other programs': a section a graph, to look into."""

from collections.abc import Sequence
from pathlib import Path

from causeway.ports.files.config_fields import read_json
from causeway.ports.graphs.graph_json import MOST_BYTES, GraphDocument, is_graph, parse_graph
from causeway.ports.pages.explorer import graph_view
from causeway.ports.pages.section import Block, Card, Cards, Facts, Prose, Section

MOST_FILES = 24


def graph_sections(place: Path) -> list[Section]:
    """Sections of a graph file, or of those of a folder.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: a file that is no graph, or a folder without any.
    """
    read = [_read(place)] if not place.is_dir() else _of_folder(place)
    return [_section(path, graph, i) for i, (path, graph) in enumerate(read)]


def _of_folder(folder: Path) -> Sequence[tuple[Path, GraphDocument]]:
    found = [
        (path, content) for path in sorted(folder.glob("*.json")) if is_graph(content := read_json(path, MOST_BYTES))
    ]
    if not found:
        raise ValueError(f"{folder}: holds no graph file; needs those of Neuronpedia, circuit-tracer or `attribute`")
    if len(found) > MOST_FILES:
        raise ValueError(
            f"{folder}: holds {len(found)} graph files, of which a page shows {MOST_FILES}; give one of them"
        )
    return [(path, parse_graph(content, str(path))) for path, content in found]


def _read(path: Path) -> tuple[Path, GraphDocument]:
    return path, parse_graph(read_json(path, MOST_BYTES), str(path))


def _section(path: Path, graph: GraphDocument, number: int) -> Section:
    metadata = graph.document["metadata"]
    title = str(metadata.get("slug") or path.stem)
    counts = {kind: graph.kinds.count(kind) for kind in ("feature", "error", "token", "logit")}
    blocks: list[Block] = [
        Cards([
            Card("nodes", f"{len(graph.kinds):,}", "{feature} features, {error} errors, {token} tokens, {logit} answers"
                 .format(**counts)),
            Card("edges", f"{len(graph.source):,}"), Card("model", str(metadata.get("scan", ""))),
        ]),
        Prose(f"The prompt: {metadata.get('prompt', '')}"),
    ]  # fmt: skip
    if graph.shared_ids:
        blocks.append(Prose(
            f"{graph.shared_ids} nodes have the name of another one, as in files of circuit-tracer before 0.5; edges "
            "of such a name are drawn at the first of them.", "warning",
        ))  # fmt: skip
    blocks.append(graph_view("graph", title, graph))
    told = {name: value for name, value in metadata.items() if name not in ("prompt", "prompt_tokens")}
    return Section(title, f"graph-{number + 1}", [*blocks, Facts("What the file says of itself", told)], str(path))
