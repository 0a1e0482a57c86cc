"""Flags that say what dictionaries are made and how."""

from typing import cast

from absl import app, flags

from causeway.drivers.flags.corpus_flags import SEED
from causeway.drivers.flags.flag_values import layer_numbers

TRANSCODER = flags.DEFINE_bool("transcoder", False, "Make transcoders, as do --write_stream, --skip and --cross_layer.")
WRITE_STREAM = flags.DEFINE_string("write_stream", None, "Stream a transcoder writes (default: mlp_out).")
SKIP = flags.DEFINE_bool("skip", False, "Transcoders with a linear skip connection.")
CROSS_LAYER = flags.DEFINE_bool("cross_layer", False, "One transcoder whose features write to all layers above.")
STREAM = flags.DEFINE_string(
    "stream", None, "Stream to read, by any of its names (default: resid_post; of transcoders mlp_in)."
)
LAYERS = flags.DEFINE_list("layers", ["all"], "Model layers, comma-separated, -1 the last; or `all`.")
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


def design(model):
    """What to make for a model.

    Raises:
        UsageError, ValueError: streams or layers that are not to be had so.
    """
    from causeway.engine.train.design import Design

    stream, layer = model.place(STREAM.value or ("mlp_in" if _transcodes() else "resid_post"), "--stream")
    written, below = model.place(WRITE_STREAM.value or "mlp_out", "--write_stream") if _transcodes() else ("", None)
    if stream == written:
        raise app.UsageError(f"--write_stream: got {written}, which is read; transcoders write another stream")
    for name, flag in ((stream, STREAM), (written, WRITE_STREAM)):
        _check_written(name, flag.name)
    layers = _layers(model.config.num_layers, {layer, below} - {None})
    if file_format() == "circuit_tracer" and layers != tuple(range(len(layers))):
        raise app.UsageError(f"--layers: got {','.join(LAYERS.value)}; circuit-tracer's sets have 0, 1, ... in order")
    return Design(stream, layers, written, SKIP.value, CROSS_LAYER.value)


def _check_written(stream: str, flag: str) -> None:
    """Refuse, before anything is trained, a stream that the files have no name for."""
    from causeway.ports.dictionaries import circuit_tracer_write
    from causeway.ports.models import site_names

    named = circuit_tracer_write.HOOKS if file_format() == "circuit_tracer" else site_names.HOOK_OF
    if stream and stream not in named:
        raise app.UsageError(f"--{flag}: {stream} has no name in {file_format()} files; take one of {', '.join(named)}")


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


def _layers(count: int, named: set[int]) -> tuple[int, ...]:
    """Those of --layers, from 0 on; `named` are those that the names of the streams say."""
    if LAYERS.value == ["all"]:
        return tuple(sorted(named)) or tuple(range(count))
    from causeway.engine import scalars

    layers = tuple(scalars.layer(number, count, "--layers") for number in layer_numbers(LAYERS))
    if named - set(layers) or (named and len(layers) > 1):
        raise app.UsageError(f"--layers: got {','.join(LAYERS.value)}, but the streams are named of layer {min(named)}")
    return layers
