"""Flags that say what dictionaries are made and how."""

from typing import cast

from absl import app, flags

from causeway.drivers.corpus_flags import SEED

TRANSCODER = flags.DEFINE_bool("transcoder", False, "Make transcoders, as do --write_stream, --skip and --cross_layer.")
WRITE_STREAM = flags.DEFINE_string("write_stream", None, "Stream a transcoder writes (default: mlp_out).")
SKIP = flags.DEFINE_bool("skip", False, "Transcoders with a linear skip connection.")
CROSS_LAYER = flags.DEFINE_bool("cross_layer", False, "One transcoder whose features write to all layers above.")
STREAM = flags.DEFINE_string("stream", None, "Stream to read (default: resid_post; of transcoders mlp_in).")
LAYERS = flags.DEFINE_list("layers", ["all"], "Model layers, comma-separated, or `all`.")
KIND = flags.DEFINE_enum(
    "kind", "jumprelu", ["jumprelu", "topk", "batchtopk"], "Activation; batchtopk is written as jumprelu."
)
FEATURES = flags.DEFINE_integer("features", None, "Features a layer (default: 8 for each number of the stream).")
L0 = flags.DEFINE_float("l0", None, "jumprelu: active features a token to aim at (default: 32).")
K = flags.DEFINE_float(
    "k", None, "topk and batchtopk: active features a token, in the mean for batchtopk (default: 32)."
)
L0_COEFFICIENT = flags.DEFINE_float("l0_coefficient", None, "jumprelu: price of an active feature, not a target.")
STEPS = flags.DEFINE_integer(
    "steps", None, "Optimiser steps (default: ten passes over the data, 500 at least, 20,000 at most).", lower_bound=1
)
BATCH = flags.DEFINE_integer("batch", 1024, "Tokens a step.", lower_bound=1)
LEARNING_RATE = flags.DEFINE_float("learning_rate", 2e-3, "Peak rate of Adam; lower leaves fewer features dead.")
FORMAT = flags.DEFINE_enum(
    "format", None, ["saelens", "circuit_tracer"], "Files written (default: SAELens 6; circuit-tracer if cross-layer)."
)
# Defaults: features for each number of the stream; active ones, but no more than a share of all; passes and steps.
WIDER, ACTIVE, ACTIVE_SHARE, PASSES, FEWEST_STEPS, MOST_STEPS = 8, 32, 4, 10, 500, 20_000


def _transcodes() -> bool:
    return bool(TRANSCODER.value or WRITE_STREAM.value or SKIP.value or CROSS_LAYER.value)


def file_format() -> str:
    """The files to write."""
    return FORMAT.value or ("circuit_tracer" if CROSS_LAYER.value else "saelens")


def check() -> None:
    """Refuse what no format could hold, before it is trained; each kind takes its own way of saying how sparse.

    Raises:
        UsageError: a kind, a form, a format and a sparsity that do not go together.
    """
    if _transcodes() and KIND.value == "topk":
        raise app.UsageError("--kind: got topk; no format read here holds such transcoders, so take batchtopk")
    if file_format() == "saelens" and CROSS_LAYER.value:
        raise app.UsageError("--format: got saelens; cross-layer transcoders are written for circuit_tracer")
    if file_format() == "circuit_tracer" and not _transcodes():
        raise app.UsageError("--format: got circuit_tracer, which holds transcoders; SAEs are written for saelens")
    kind, sparsity = KIND.value, _sparsity()
    allowed = ("l0", "l0_coefficient") if kind == "jumprelu" else ("k",)
    if not set(sparsity) <= set(allowed):
        flagged = ", ".join(f"--{name}={value:g}" for name, value in sparsity.items())
        raise app.UsageError(f"--kind: {kind} takes its sparsity from --{' and --'.join(allowed)}; got {flagged}")


def design(count: int):
    """What to make of a model of `count` layers.

    Raises:
        UsageError: streams or layers that are not to be had so.
    """
    from causeway.engine.train.design import Design

    stream = STREAM.value or ("mlp_in" if _transcodes() else "resid_post")
    written = (WRITE_STREAM.value or "mlp_out") if _transcodes() else ""
    if stream == written:
        raise app.UsageError(f"--write_stream: got {written}, which is read; transcoders write another stream")
    layers = _layers(count)
    if file_format() == "circuit_tracer" and layers != tuple(range(len(layers))):
        raise app.UsageError(f"--layers: got {','.join(LAYERS.value)}; circuit-tracer's sets have 0, 1, ... in order")
    return Design(stream, layers, written, SKIP.value, CROSS_LAYER.value)


def recipe(width: int, tokens: int):
    """How to train; what was not said follows from the stream and the data.

    Args:
        width: numbers of a vector that is read. tokens: to train on.

    Raises:
        ValueError: a number that cannot be.
    """
    from causeway.engine.train.recipe import Recipe
    from causeway.engine.train.sparsity import TrainedKind

    features = WIDER * width if FEATURES.value is None else FEATURES.value
    told = _sparsity()
    # With a price alone, the target serves only to set the thresholds training starts from.
    default = features / 32 if L0_COEFFICIENT.value is not None else max(1, min(ACTIVE, features // ACTIVE_SHARE))
    steps = STEPS.value or min(max(PASSES * tokens // BATCH.value, FEWEST_STEPS), MOST_STEPS)
    return Recipe(
        cast(TrainedKind, KIND.value), features, told.get("k", told.get("l0", default)), steps, BATCH.value, SEED.value,
        LEARNING_RATE.value, l0_coefficient=L0_COEFFICIENT.value,
    )  # fmt: skip


def _sparsity() -> dict[str, float]:
    return {flag.name: flag.value for flag in (L0, K, L0_COEFFICIENT) if flag.value is not None}


def _layers(count: int) -> tuple[int, ...]:
    if LAYERS.value == ["all"]:
        return tuple(range(count))
    if not all(layer.isdecimal() for layer in LAYERS.value):
        raise app.UsageError(f"--layers: got {','.join(LAYERS.value)}; needs numbers 0..{count - 1}, or `all`")
    return tuple(int(layer) for layer in LAYERS.value)
