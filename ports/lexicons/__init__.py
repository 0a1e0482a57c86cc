"""Words to describe directions with: a curated lexicon of mathematics and logic, and files of one's own."""
