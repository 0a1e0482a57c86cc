"""What `select` writes.

causal_features.json      a list of {feature: "L26-1069", layer, feature_id, cohen_d, effect, ...}, the strongest first
causal_features.parquet   the same as a table: what --features of later commands reads (layer, feature, value_<group>)
prompts_sample.json       {feature: [prompt records]}, where there are prompts
prompts.jsonl             the distinct prompts among them: what --prompts of later commands reads
select.json               how features and prompts were taken; written last
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from causeway.engine.earlier_results import feature_name, feature_names
from causeway.engine.prompt_lines import record_line
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.sweep import durable
from causeway.engine.sweep.table import write_table
from causeway.ports.files.json_text import write_json
from causeway.ports.prompts.prompt_files import write_prompts

LIST, TABLE, SAMPLE, PROMPTS, ABOUT = (
    "causal_features.json", "causal_features.parquet", "prompts_sample.json", "prompts.jsonl", "select.json",
)  # fmt: skip
FILES = (LIST, TABLE, SAMPLE, PROMPTS, ABOUT)


def write_selection(
    folder: Path,
    features: pa.Table,
    records: Sequence[PromptRecord],
    chosen: Sequence[Int[np.ndarray, " n"]],
    about: Mapping[str, Any],
) -> None:
    """Write all files into a folder that is there, in place of earlier ones.

    Args:
        features: the selected ones. records: all prompts; none writes no files of prompts. chosen: indices of each
            feature's prompts. about: how they were taken.
    """
    for name in FILES[::-1]:
        durable.remove(folder / name)
    entries = [_entry(row) for row in features.to_pylist()]
    write_json(folder / LIST, entries)
    write_table(folder / TABLE, features)
    if records:
        lines = [record_line(record) for record in records]
        names = feature_names(features)
        write_json(folder / SAMPLE, {name: [lines[i] for i in own] for name, own in zip(names, chosen, strict=True)})
        write_prompts(folder / PROMPTS, [records[i] for i in sorted({int(i) for own in chosen for i in own})])
    write_json(folder / ABOUT, dict(about))


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in row.items() if name not in ("layer", "feature")}
    name = feature_name(row["layer"], row["feature"])
    return {"feature": name, "layer": row["layer"], "feature_id": row["feature"], **rest}
