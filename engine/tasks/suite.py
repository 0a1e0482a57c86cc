"""The five synthetic tasks of the bundled model under their names, and draws from them.

Every draw is keyed by (seed, split, task, index), so an item depends on nothing but its key.
"""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from causeway.engine import scalars
from causeway.engine.tasks import addition, agreement, capitals, sentiment, slot_decisions
from causeway.engine.tasks.example import SPLITS, Example, Split

Sampler = Callable[[np.random.Generator, Split], Example]

TASKS: MappingProxyType[str, Sampler] = MappingProxyType(
    {module.NAME: module.sample for module in (slot_decisions, agreement, capitals, sentiment, addition)}
)


def draw(task: str, split: Split, count: int, seed: int) -> list[Example]:
    """`count` items of a task and split; repeats are possible.

    Raises:
        ValueError: the task or the split is unknown.
    """
    sampler = _sampler(task)
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}; needs one of {SPLITS}")
    rng = np.random.default_rng([scalars.seed(seed), SPLITS.index(split), list(TASKS).index(task)])
    return [sampler(rng, split) for _ in range(count)]


def distinct(task: str, split: Split, count: int, seed: int) -> list[Example]:
    """Up to `count` different items (by prompt): fewer where a split is small, as for capitals."""
    items = {example.prompt: example for example in draw(task, split, 4 * count, seed)}
    return list(items.values())[:count]


def mixture(tasks: dict[str, float], split: Split, count: int, rng: np.random.Generator) -> list[Example]:
    """`count` items, each of a task drawn with probability proportional to its share.

    Raises:
        ValueError: a task is unknown or the shares do not add up to something positive.
    """
    samplers = [_sampler(task) for task in tasks]
    shares = np.array(list(tasks.values()), dtype=float)
    if not (shares >= 0).all() or shares.sum() <= 0:
        raise ValueError(f"tasks: got shares {tasks}; needs non-negative shares with a positive sum")
    choices = rng.choice(len(samplers), size=count, p=shares / shares.sum())
    return [samplers[int(choice)](rng, split) for choice in choices]


def texts(split: Split, count: int, seed: int) -> list[str]:
    """Whole texts (prompt and answer) of a mixture of all tasks: what dictionaries are trained on."""
    rng = np.random.default_rng([scalars.seed(seed), SPLITS.index(split), len(TASKS)])
    return [example.text for example in mixture(dict.fromkeys(TASKS, 1.0), split, count, rng)]


def _sampler(task: str) -> Sampler:
    if task not in TASKS:
        raise ValueError(f"task: got {task!r}; needs one of {tuple(TASKS)}")
    return TASKS[task]
