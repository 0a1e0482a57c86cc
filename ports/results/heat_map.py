"""`cw.save_heat_map`: a table of activation patching as a picture, layers upward and tokens to the right."""

from pathlib import Path

from causeway.engine import scalars
from causeway.engine.analyses.lens.activation_patching import PatchingTable
from causeway.engine.sweep.durable import make_folder, replacing


def save_heat_map(table: PatchingTable, path: str | Path) -> Path:
    """Draw the share of the clean answer that each place brings back: white 0, red 1, blue below 0.

    Args:
        table: what `activation_patching` returns.
        path: a .png, .pdf or .svg file; an earlier one is replaced.

    Raises:
        ValueError: no such table, or another kind of file.
    """
    if not isinstance(table, PatchingTable):
        raise ValueError(f"table: got {scalars.shown(table)}; needs what cw.activation_patching returns")
    if not isinstance(path, str | Path) or Path(path).suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(f"path: got {scalars.shown(path)}; needs the name of a .png, .pdf or .svg file")
    from matplotlib.figure import Figure

    path, (rows, columns) = Path(path), table.values.shape
    figure = Figure(figsize=(1.8 + 0.45 * columns, 1.4 + 0.3 * rows), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(table.recovered, cmap="RdBu_r", vmin=-1, vmax=1, origin="lower", aspect="auto")
    pairs = zip(table.tokens, table.corrupted_tokens, strict=True)
    names = [a if a == b else f"{a} / {b}" for a, b in pairs]
    axes.set_xticks(range(columns), [name.replace("$", r"\$") for name in names], rotation=90)
    axes.set_yticks(range(rows), list(map(str, table.layers)))
    axes.set_xlabel("token (clean / corrupted)")
    axes.set_ylabel("layer")
    axes.set_title(f"{table.stream}: share of the clean answer brought back", fontsize="medium")
    figure.colorbar(image, ax=axes)
    make_folder(path.parent)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])
    return path
