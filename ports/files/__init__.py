"""Files of every kind, read as foreign: text, JSON, tensors, Parquet, archives, the hub."""
