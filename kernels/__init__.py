"""Fused operations that XLA does not do well, each beside its plain-XLA reference."""
