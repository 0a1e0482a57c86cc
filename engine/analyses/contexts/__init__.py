"""Feature contexts: where in a corpus each feature is active, how often and how strongly, and what it promotes."""
