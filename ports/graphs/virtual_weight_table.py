"""Virtual weights as a Parquet table: target, rank, source, weight; rank 0 is a target's strongest source."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from causeway.engine.analyses.virtual_weights.virtual_weights import VirtualWeights
from causeway.engine.sweep.durable import make_folder, replacing


def write_virtual_weights(path: Path, found: VirtualWeights, about: Mapping[str, str]) -> int:
    """Write the table and return its number of rows; places without a source have none.

    Args:
        about: what a weight is ("weight"), of which layers, for the table's metadata.
    """
    target, rank = np.nonzero(found.source >= 0)
    columns = {
        "target": target.astype(np.int32), "rank": rank.astype(np.int32),
        "source": found.source[target, rank].astype(np.int32), "weight": found.weight[target, rank],
    }  # fmt: skip
    make_folder(path.parent)
    with replacing(path) as temporary:
        table = pa.table(columns).replace_schema_metadata(dict(about))
        pq.write_table(table, temporary, compression="zstd")
    return len(target)
