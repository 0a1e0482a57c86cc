"""`cw.save_heat_map`: a table of activation patching as a picture, layers upward and tokens to the right."""

from pathlib import Path

import numpy as np

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

    path, columns = Path(path), len(table.positions)
    heads = table.values.shape[2] if table.values.ndim == 3 else 0
    shares = np.moveaxis(table.recovered, 2, 1).reshape(-1, columns) if heads else table.recovered
    labels = [f"{n}.{h}" for n in table.layers for h in range(heads)] if heads else list(map(str, table.layers))
    rows = len(shares)
    figure = Figure(figsize=(1.8 + 0.45 * columns, 1.4 + 0.3 * rows), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="RdBu_r", vmin=-1, vmax=1, origin="lower", aspect="auto")
    pairs = zip(table.tokens, table.corrupted_tokens, strict=True)
    names = [a if a == b else f"{a} / {b}" for a, b in pairs]
    axes.set_xticks(range(columns), [name.replace("$", r"\$") for name in names], rotation=90)
    axes.set_yticks(range(rows), labels)
    axes.set_xlabel("token (clean / corrupted)")
    axes.set_ylabel("layer.head" if heads else "layer")
    axes.set_title(f"{table.stream}: share of the clean answer brought back", fontsize="medium")
    figure.colorbar(image, ax=axes)
    make_folder(path.parent)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])
    return path
