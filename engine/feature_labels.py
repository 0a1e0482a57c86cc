"""Labels of features, as callers give them: a text by layer and number."""

from collections.abc import Mapping
from typing import Any

from causeway.engine import scalars

Labels = Mapping[tuple[int, int], str]


def checked_labels(labels: Any) -> Labels:
    """The labels; none where None is given.

    Raises:
        ValueError: no mapping from (layer, feature) to texts.
    """
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise ValueError(f"labels: got {scalars.shown(labels)}; needs a label by (layer, feature)")
    for key, label in labels.items():
        if not isinstance(key, tuple) or len(key) != 2 or not isinstance(label, str):
            raise ValueError(f"labels: got {scalars.shown({key: label})}; needs a label by (layer, feature)")
    return labels
