"""A baseline's decision in words: none where groups are too few for an interval. Pages say it too, so no jax here."""

from collections.abc import Mapping
from typing import Any

from causeway.engine.stats.proportions import FEWEST_CLUSTERS


def told(measured: Mapping[str, Any]) -> str:
    """The decision of a behaviour and split, of which `baseline.metrics` tells, as a person is told it."""
    if measured["margin_success"]["low"] is None:
        return f"cannot tell: {measured['groups']} groups, {FEWEST_CLUSTERS} needed"
    return str(measured["decision"]) + ("" if measured["certain"] else " (too close to call)")
