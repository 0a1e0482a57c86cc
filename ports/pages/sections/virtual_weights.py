"""The section of virtual weights: which features of one layer write what those of a higher one read?"""

from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.bars import bars
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Prose, Section
from causeway.ports.pages.sections.rows import by_size, count, typed
from causeway.ports.pages.workdir import Result

STRONGEST, MOST = 20, 2_000
HEADINGS = {"target": "feature that reads", "source": "feature that writes", "weight": "weight", "rank": "rank"}


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, path = f"causeway virtual_weights, {result.folder}", result.folder / "virtual_weights.parquet"
    table = read_parquet(path)
    # What the table says of itself; earlier ones do not say the layers.
    about = {name.decode(): text.decode() for name, text in (table.schema.metadata or {}).items()}
    above, below = (f"layer {about[name]}" if name in about else words for name, words in (
        ("target_layer", "the higher layer"), ("source_layer", "the lower layer")))  # fmt: skip
    if not table.num_rows:
        return Section(title, anchor, [Prose(f"No feature of {above} reads what one of {below} writes.")], lead)
    rows = by_size(table, "weight").slice(0, MOST).select(list(HEADINGS))
    strongest, targets = rows.slice(0, STRONGEST).to_pylist(), len(table["target"].unique())
    first = strongest[0]
    drawn = [{"pair": f"{row['source']} to {row['target']}", "weight": row["weight"]} for row in strongest]
    blocks: list[Block] = [
        Prose(f"The largest weight is {first['weight']:+.3g}, from feature {first['source']} of {below} to feature "
              f"{first['target']} of {above}."),
        Prose(f"A weight: {about.get('weight', 'how far a feature reads what another writes')}. The path is the "
              "stream itself, without attention. Raw weights say nothing of whether two features are ever active "
              "together.", "note"),
        Cards([
            Card("features that read", f"{targets:,}", above),
            Card("weights", f"{table.num_rows:,}", f"the strongest of each, from {below}"),
            *([Card("weighted by", about["weighting"])] if "weighting" in about else []),
        ]),
        Chart("strongest", "The strongest weights", f"The {count(len(drawn), 'weight')} of largest "
              f"size: the feature of {below} that writes, and that of {above} that reads.",
              bars("pair", "weight", "weight"), typed(drawn, pair=str, weight=float)),
        DataTable("weights", "Weights", f"By size, whatever the sign; {targets:,} features have {table.num_rows:,} "
                  "weights in the file. Rank 0 is the strongest of a feature that reads.", rows, HEADINGS,
                  file=str(path)),
    ]  # fmt: skip
    return Section(title, anchor, blocks, lead)
