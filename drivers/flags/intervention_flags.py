"""Flags that say which features are changed and how, and what they mean."""

import math
import re
from typing import cast

from absl import flags

FEATURES = flags.DEFINE_list(
    "features", [], "layer:position:feature or layer:position:feature=value; position may be negative, or all."
)
GRAPHS = flags.DEFINE_string("graphs", None, "--workdir of an attribute run: its graphs give features and predictions.")
OPERATION = flags.DEFINE_list(
    "operation", ["zero"], "zero, inhibit[:a] (to -a times itself), set:v, scale:k, patch (the partner prompt's value)."
)
MODE = flags.DEFINE_enum(
    "mode", "open", ["open", "freeze_attention", "constrained"],
    "What stays as it was: nothing; attention patterns; patterns, norms and MLP outputs (direct effects).",
)  # fmt: skip
KINDS = flags.DEFINE_list("kinds", ["single"], "Changed together: single, layer, circuit, complement (of --graphs).")
MOST = flags.DEFINE_integer("max_features", 200, "Features taken of each graph, by effect.", lower_bound=1)
NODES = flags.DEFINE_float("node_threshold", 0.8, "Share of the nodes' influence that makes a circuit.")
EDGES = flags.DEFINE_float("edge_threshold", 0.98, "Share of the edges' influence in it.")
ROWS = flags.DEFINE_integer(
    "rows", None, "Rows of a batch, per device (default: by the prompt's length).", lower_bound=1
)
HELD_OUT = flags.DEFINE_float(
    "held_out", 0.0, "Share of prompts on which what the others choose is measured: features of --graphs, importance."
)


def operations() -> tuple[tuple[str, float], ...]:
    """Names and values of --operation.

    Raises:
        ValueError: an operation that is not NAME or NAME:NUMBER, or set and scale without one.
    """
    found = []
    for text in OPERATION.value:
        name, _, number = text.partition(":")
        try:
            value = float(number) if number else {"zero": 0.0, "inhibit": 1.0, "patch": 0.0, "set": None}[name]
            if value is not None and not math.isfinite(value):
                raise ValueError(text)
            if value is None and not all("=" in feature for feature in FEATURES.value):
                raise KeyError(name)
        except (KeyError, ValueError):
            raise ValueError(
                f"--operation: got {text!r}; needs zero, inhibit[:a], set:v (or values in --features), scale:k or "
                "patch, with finite numbers"
            ) from None
        found.append((name, value or 0.0))
    return tuple(found)


def places() -> tuple:
    """The features of --features.

    Raises:
        ValueError: one that cannot be read.
    """
    from causeway.engine.analyses.intervene.sets import Place

    found = []
    for text in FEATURES.value:
        match = re.fullmatch(r"\s*(\d+):(-?\d+|all):(\d+)(?:=(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?))?\s*", text)
        if not match:
            raise ValueError(
                f"--features: cannot read {text!r}; write layer:position:feature or ...=value, as 12:-1:345=8"
            )
        layer, position, feature, value = match.groups()
        at = None if position == "all" else int(position)
        found.append(Place(int(layer), at, int(feature), None if value is None else float(value)))
    if any(place.value is not None for place in found) and "set" not in {name for name, _ in operations()}:
        raise ValueError("--features: values are given, but --operation sets none; use --operation=set")
    return tuple(found)


def check() -> None:
    """Refuse, before a model is loaded, what cannot be read.

    Raises:
        ValueError: see `operations` and `places`.
    """
    operations()
    if not places() and not GRAPHS.value:
        raise ValueError("--features, --graphs: got none; name features, or the workdir of an attribute run")
    for flag in (NODES, EDGES):
        if not 0 < flag.value <= 1:
            raise ValueError(f"--{flag.name}: got {flag.value}; needs a share above 0 and at most 1")


def settings(seed: int):
    """What is done to each prompt; `seed` decides which prompts are held out."""
    from causeway.engine.analyses.intervene.sets import Kind
    from causeway.engine.analyses.intervene.settings import InterventionSettings
    from causeway.engine.intervention.hold import Name

    mode, kinds = cast(Name, MODE.value), cast(tuple[Kind, ...], tuple(KINDS.value))
    return InterventionSettings(
        operations(), mode, places(), MOST.value, kinds, NODES.value, EDGES.value, ROWS.value,
        HELD_OUT.value, seed if HELD_OUT.value else 0,
    )  # fmt: skip
