"""What the files of a stack of dictionaries say about it, beyond its arrays, as one record."""

from collections.abc import Sequence
from typing import Any

from causeway.ports.dictionaries.source import DictionarySource


def origin_of(sources: Sequence[DictionarySource]) -> dict[str, Any]:
    """Format, model, scale of feature values, and the publisher's card of a stack.

    Args:
        sources: one a layer.

    Returns:
        `card` holds what all layers say alike as it is, and what they say differently as a list over the layers.
    """
    names = dict.fromkeys(name for source in sources for name in source.card)
    said = {name: [source.card.get(name) for source in sources] for name in names}
    texts = {
        "format": [source.format for source in sources],
        "model_name": [source.model_name for source in sources],
        "value_scale": [source.value_scale for source in sources],
    }
    alike = {name: values[0] if len(set(values)) == 1 else "; ".join(values) for name, values in texts.items()}
    card = {name: values[0] if all(v == values[0] for v in values) else values for name, values in said.items()}
    return {**alike, "card": card}
