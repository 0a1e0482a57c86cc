"""Feature dictionaries (SAEs) in one canonical form."""
