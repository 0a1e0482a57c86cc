"""The cost of each driver: one small function a driver, from what is known of a stage before it runs (see `costs`).

Seconds were measured on the bundled model with 12 and 80 prompts, 36 and 144 for the drivers of neurons; operations
and bytes follow from the algorithms.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

from causeway.engine.analyses.study import feature_costs, neuron_costs, training_costs
from causeway.engine.analyses.study.costs import Cost, Facts, Unknown, without

# Bytes of a scored prompt, of the pictures of a baseline.
_PROMPT_BYTES, _PICTURE_BYTES = 260, 1.1e5


def _prompts(facts: Facts) -> Cost:
    """Texts alone; with a model its tokenizer."""
    count = len(facts.prompts())
    return Cost((1.9 if facts.values["model"] else 0.7) + 0.0005 * count, 2.5e8, _PROMPT_BYTES * count, loads=False)


def _evaluate(facts: Facts) -> Cost:
    """A row for each of two answers, to the width of prompt and answer."""
    without(facts, "generate")
    lengths = facts.prompts()
    tokens = sum(2 * facts.width(length + 1) for length in lengths)
    disk = _PROMPT_BYTES * len(lengths) + facts.sets * _PICTURE_BYTES / 2
    return Cost(5.4 + 0.002 * len(lengths), 4.6e8 + facts.weight_bytes(), disk, facts.forward(tokens, 2 * len(lengths)))


def _tokens(facts: Facts) -> Cost:
    """Texts cut into words and counted, and tests of every word."""
    count = facts.counted("responses")
    return Cost(3.0 + 0.0002 * count, 3e8 + 4000.0 * count, 1e5 + 50.0 * count, loads=False)


def _audit(facts: Facts) -> Cost:
    """Every response read and checked."""
    count = facts.counted("responses")
    return Cost(1.5 + 1.9e-5 * count, 2.5e8 + 1500.0 * count, 1e4, loads=False)


def _select(facts: Facts) -> Cost:
    """As `audit`; what is chosen is small."""
    count = facts.counted("responses")
    return Cost(1.5 + 1.9e-5 * count, 2.5e8 + 1500.0 * count, 5e4, loads=False)


def _integrate(facts: Facts) -> Cost:
    """The tables of all stages, and texts that are similar."""
    count = facts.counted("responses")
    return Cost(2.0 + 2.7e-5 * count, 3e8 + 1500.0 * count, 2e5, loads=False)


def _convert(facts: Facts) -> Cost:
    """Weights read, written and hashed."""
    if not facts.values["model"]:
        raise Unknown("of dictionaries that are converted no figures are known")
    written = facts.weight_bytes() - (facts.dictionaries.numbers * 4 if facts.dictionaries else 0)
    return Cost(1.4 + 9.5e-9 * written, 2.5e8 + 1.6 * written, written)


COSTS: Mapping[str, Callable[[Facts], Cost]] = MappingProxyType({
    "prompts": _prompts, "evaluate": _evaluate, **feature_costs.COSTS, **neuron_costs.COSTS, **training_costs.COSTS,
    "tokens": _tokens, "audit": _audit, "select": _select, "integrate": _integrate, "convert": _convert,
})  # fmt: skip
# Of the seconds of a first start, those that a second one, whose programs are kept, does without.
COMPILING: Mapping[str, float] = MappingProxyType({
    "attribute": 3.4, "rank": 11.0, "second_order": 4.7, "components": 5.9, "ablate": 12.5, "patch_sweep": 3.9,
    "replay": 4.3, "pathways": 24.0,
})  # fmt: skip


def cost(driver: str, facts: Facts) -> Cost:
    """What a stage takes.

    Raises:
        Unknown: it cannot be told.
    """
    if driver not in COSTS:
        raise Unknown(f"no figures of {driver} are known; a first run gives them")
    return dataclasses.replace(COSTS[driver](facts), compiling=COMPILING.get(driver, 0.0))
