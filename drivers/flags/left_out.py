"""Lines and prompts that cannot be used: they stop the run, or with --skip_bad are told and left out."""

import sys
from collections.abc import Sequence


def tell(bad: Sequence[str]) -> None:
    """A line on stderr for each message."""
    for message in bad:
        print(f"left out: {message}", file=sys.stderr)
