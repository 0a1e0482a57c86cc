"""`cw.integrate`: tables of earlier analyses as one, in a notebook."""

import pyarrow as pa

from causeway.engine.analyses.integrate.inputs import Inputs
from causeway.engine.analyses.integrate.integrate import ALPHA, SIMILARITY, TOP, Integrated, bring_together


def integrate(
    *,
    select: pa.Table | None = None,
    effects: pa.Table | None = None,
    pathways: pa.Table | None = None,
    chains: pa.Table | None = None,
    replay: pa.Table | None = None,
    associations: pa.Table | None = None,
    outcomes: pa.Table | None = None,
    alpha: float = ALPHA,
    top: int = TOP,
    similarity: float = SIMILARITY,
    seed: int = 0,
) -> Integrated:
    """What several analyses say of the same features: one table, one graph, one story a feature.

    Args:
        select, effects, pathways, chains, replay, associations, outcomes: tables as their commands write them (columns:
            `inputs.COLUMNS`); of two commands at least.
        alpha: bound on q of what counts as found. top: entries of each list of a story.
        similarity: least mean similarity of features of a layer that are joined to a cluster, 0 to 1.
        seed: of what clusters are like by chance.

    Returns:
        The table (a row a feature), stories, clusters, chains, and a networkx graph. Effects have the units of their
        own analyses (`stories`).

    Raises:
        ValueError: fewer than two commands' tables, a table that lacks columns, pathways that do not rise to later
            layers, or numbers out of range.
    """
    given = {
        "select": select, "effects": effects, "pathways": pathways, "chains": chains, "replay": replay,
        "associations": associations, "outcomes": outcomes,
    }  # fmt: skip
    tables = {name: table for name, table in given.items() if table is not None}
    return bring_together(Inputs(tables), alpha, top, similarity, seed)
