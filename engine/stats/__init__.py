"""Effect sizes, exact tests, intervals and multiple comparisons."""
