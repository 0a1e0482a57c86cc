"""The configuration of `train_model`, known to be whole before anything is trained."""

from collections.abc import Callable
from typing import Any, TypeVar

from absl import flags
from ml_collections import ConfigDict

from causeway.drivers.flags.config_values import check_like, given_config
from causeway.drivers.flags.table import DTYPES

Made = TypeVar("Made")


def model_config() -> ConfigDict:
    """The configuration; it has what the bundled model's has, but for what has a default.

    Raises:
        ValueError: naming the field.
    """
    from causeway.configs import bundled_tiny
    from causeway.engine import scalars
    from causeway.engine.tasks import suite

    config: Any = given_config()
    like = bundled_tiny.get_config()
    for section, name in (("model", "tied_embeddings"), ("schedule", "warmup_steps"), ("schedule", "checkpoint_every")):
        del like[section][name]
    like.buckets[0].tasks = ConfigDict()
    check_like(config, like)
    for place, part in {"text": config.text, **{f"buckets[{i}]": b for i, b in enumerate(config.buckets)}}.items():
        for name in ("rows", "length"):
            scalars.integer(part[name], f"--config.{place}.{name}", 1)
    if unknown := {task for bucket in config.buckets for task in bucket.tasks} - set(suite.TASKS):
        raise ValueError(f"--config.buckets: got the task {min(unknown)!r}; needs some of {', '.join(suite.TASKS)}")
    scalars.seed(config.seed, "--config.seed")
    scalars.real(config.prompt_weight, "--config.prompt_weight", 0)
    if config.storage not in DTYPES:
        raise ValueError(f"--config.storage: got {config.storage!r}; needs one of {', '.join(DTYPES)}")
    return config


def made(kind: Callable[..., Made], section: str, **further: Any) -> Made:
    """What a section of the configuration describes.

    Raises:
        ValueError: naming the section.
    """
    try:
        return kind(**flags.FLAGS.config[section], **further)
    except (TypeError, ValueError) as error:
        raise ValueError(f"--config.{section}: {error}") from None
