"""Flags that say which features are changed and how, and what they mean."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, cast

from causeway.drivers.flags.flag_values import no_effect, share
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.analyses.intervene.sets import Place
    from causeway.engine.analyses.intervene.settings import InterventionSettings

FLAGS = take(
    "edits graphs operation holds kinds max_features node_threshold edge_threshold batch_rows held_out",
)
# Layer, position, feature, and perhaps a value.
_EDIT = re.compile(r"(-?\d+):(-?\d+|[A-Za-z_][\w-]*):(\d+)(?:=(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?))?")


def operations() -> tuple[tuple[str, float], ...]:
    """Names and values of --operation.

    Raises:
        ValueError: an operation that is not NAME or NAME:NUMBER, or without the number that it needs.
    """
    found = []
    for text in FLAGS.operation:
        name, _, number = text.partition(":")
        try:
            alone = {"zero": 0.0, "own": 0.0, "inhibit": 1.0, "patch": 0.0, "set": None}
            value = float(number) if number else alone[name]
            if value is not None and not math.isfinite(value):
                raise ValueError(text)
            if value is None and not all("=" in feature for feature in FLAGS.edits):
                raise KeyError(name)
        except (KeyError, ValueError):
            raise ValueError(
                f"--operation: got {text!r}; needs zero, inhibit[:a], set:v (or values in --edits), mean:v, add:d, "
                "scale:k, at_most:v, at_least:v, own or patch, with finite numbers"
            ) from None
        found.append((name, value or 0.0))
    return tuple(found)


def places(num_layers: int | None = None) -> tuple[Place, ...]:
    """The features of --edits.

    Args:
        num_layers: of the model, from whose end negative layers count; without it they stay as they are.

    Raises:
        ValueError: one that cannot be read.
    """
    from causeway.engine import scalars
    from causeway.engine.analyses.intervene.sets import Place

    found = []
    for text in FLAGS.edits:
        match = re.fullmatch(
            r"\s*(-?\d+):(-?\d+|[A-Za-z_][\w-]*):(\d+)(?:=(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?))?\s*", text
        )
        if not match:
            raise ValueError(
                f"--edits: got {text!r}; needs layer:position:feature or ...=value, as 12:-1:345=8 or 12:ROLE:345"
            )
        layer, position, feature, value = match.groups()
        number = int(position) if position.lstrip("-").isdecimal() else position
        at = None if position == "all" else number
        below = int(layer) if num_layers is None else scalars.layer(int(layer), num_layers, "--edits")
        found.append(Place(below, at, int(feature), None if value is None else float(value)))
    if any(place.value is not None for place in found) and "set" not in {name for name, _ in operations()}:
        raise ValueError("--edits: values are given, but --operation sets none; use --operation=set")
    return tuple(found)


def check() -> None:
    """Refuse, before a model is loaded, what cannot be read.

    Raises:
        ValueError: see `operations` and `places`.
    """
    from causeway.engine.intervention.hold import NAMED

    operations()
    if len(FLAGS.holds) != 1 or FLAGS.holds[0] not in NAMED:
        raise ValueError(f"--holds: got {','.join(FLAGS.holds)}; effects are predicted for one of {', '.join(NAMED)}")
    if not places() and not FLAGS.graphs:
        raise ValueError("--edits, --graphs: got none; name features, or the workdir of an attribute run")
    if FLAGS.edits:
        no_effect("with --edits", "held_out", "max_features")
    if not FLAGS.graphs:
        no_effect("without --graphs", "node_threshold", "edge_threshold")
    for name in ("node_threshold", "edge_threshold"):
        share(name)


def settings(seed: int, num_layers: int) -> InterventionSettings:
    """What is done to each prompt of a model of so many layers; `seed` decides which prompts are held out."""
    from causeway.engine.analyses.intervene.sets import Kind
    from causeway.engine.analyses.intervene.settings import InterventionSettings
    from causeway.engine.intervention.hold import Name

    holds, kinds = cast(Name, FLAGS.holds[0]), cast(tuple[Kind, ...], tuple(FLAGS.kinds))
    return InterventionSettings(
        operations(), holds, places(num_layers), FLAGS.max_features, kinds, FLAGS.node_threshold, FLAGS.edge_threshold,
        FLAGS.batch_rows, FLAGS.held_out, seed if FLAGS.held_out else 0,
    )  # fmt: skip
