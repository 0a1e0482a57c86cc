"""The published aggregate of a run's prompts: see `attribution` for what is wrong with it."""

from collections.abc import Mapping
from typing import Any

from causeway.engine import scalars
from causeway.engine.analyses.as_published.attribution import (
    MIN_FREQUENCY,
    THRESHOLD,
    TOP_K,
    PublishedAggregate,
    published_aggregate,
    published_attribution,
)
from causeway.engine.analyses.attribute.graph_sweep import GraphSweep


def check_values(values: Mapping[str, Any], where: str) -> None:
    """Refuse values that `published_of_group` cannot take.

    Raises:
        ValueError: an unknown name, or a value of the wrong kind.
    """
    for name, value in values.items():
        if name not in ("layers", "prompts", "top_k", "edge_threshold", "min_frequency"):
            raise ValueError(f"{where}: has no value {name!r}")
        if name == "layers":
            scalars.integers(value, f"{where}.layers")
        elif name in ("prompts", "top_k"):
            scalars.integer(value, f"{where}.{name}", 1)
        else:
            scalars.real(value, f"{where}.{name}", 0)


def published_of_group(
    sweep: GraphSweep, group: tuple[str, str], values: Mapping[str, Any] | None = None
) -> PublishedAggregate:
    """The published aggregate of one behaviour and split.

    Args:
        sweep: the run. group: (behaviour, split), of prompts with two answers. values: layers, prompts, top_k,
            edge_threshold and min_frequency where they differ from the document's; without layers and prompts, all.

    Raises:
        ValueError: no prompt with two answers, or none of the layers has transcoders.
    """
    values, config = values or {}, sweep.transcoders.config
    rows = [row for row, layer in enumerate(config.layers) if layer in values.get("layers", config.layers)]
    if not rows:
        raise ValueError(f"layers: got {values['layers']}; needs some of {config.layers}, which have transcoders")
    chosen = [p for p in sweep.prompts if (p.behaviour, p.split) == group and p.answers is not None]
    pairs = (
        tuple(
            published_attribution(sweep.model, sweep.transcoders, prompt.tokens, token)[rows]
            for token in prompt.answers or ()
        )
        for prompt in chosen[: values.get("prompts")]
    )
    return published_aggregate(
        ((correct, incorrect) for correct, incorrect in pairs),
        [config.layers[row] for row in rows],
        top_k=values.get("top_k", TOP_K),
        threshold=values.get("edge_threshold", THRESHOLD),
        min_frequency=values.get("min_frequency", MIN_FREQUENCY),
    )
