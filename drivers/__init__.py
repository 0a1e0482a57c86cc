"""One absl binary per analysis."""
