"""Many prompts run, and something kept of each: the one way to read streams and features outside a sweep of edits."""
