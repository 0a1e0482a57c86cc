"""Columns of the tables of contexts (`tables` says what is in them); apart, since whoever reads tables needs no jax."""

import pyarrow as pa

CONTEXTS = pa.schema([
    ("layer", pa.int32()), ("feature", pa.int32()), ("kind", pa.string()), ("band", pa.int32()), ("rank", pa.int32()),
    ("value", pa.float32()), ("text", pa.int32()), ("row", pa.int32()), ("position", pa.int32()), ("peak", pa.int32()),
    ("tokens", pa.list_(pa.string())), ("ids", pa.list_(pa.int32())), ("activations", pa.list_(pa.float32())),
])  # fmt: skip
HISTOGRAMS = pa.schema([
    ("layer", pa.int32()), ("feature", pa.int32()), ("low", pa.float32()), ("high", pa.float32()),
    ("count", pa.int64()),
])  # fmt: skip
FEATURES = pa.schema([
    ("layer", pa.int32()), ("feature", pa.int32()), ("label", pa.string()), ("active_tokens", pa.int64()),
    ("firing_rate", pa.float64()), ("low", pa.float64()), ("high", pa.float64()), ("active_rows", pa.int64()),
    ("mean_active", pa.float64()), ("maximum", pa.float32()), ("promoted", pa.list_(pa.string())),
    ("promoted_ids", pa.list_(pa.int32())), ("promoted_weights", pa.list_(pa.float32())),
    ("suppressed", pa.list_(pa.string())), ("suppressed_ids", pa.list_(pa.int32())),
    ("suppressed_weights", pa.list_(pa.float32())), ("nearest", pa.list_(pa.int32())),
    ("nearest_cosines", pa.list_(pa.float32())),
])  # fmt: skip
