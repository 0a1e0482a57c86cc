"""Flags that say what dictionaries are made and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from absl import app

from causeway.drivers.flags import corpus_flags
from causeway.drivers.flags.flag_values import layer_numbers, named
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.model.handle import Model
    from causeway.engine.train.design import Design
    from causeway.engine.train.recipe import Recipe

FLAGS = take(
    "transcoder write_stream skip cross_layer stream layers kind num_features l0 k l0_coefficient steps batch "
    "learning_rate format",
)
# Defaults: features for each number of the stream; active ones, but no more than a share of all; passes and steps.
WIDER, ACTIVE, ACTIVE_SHARE, PASSES, FEWEST_STEPS, MOST_STEPS = 8, 32, 4, 10, 500, 20_000


def _transcodes() -> bool:
    return bool(FLAGS.transcoder or FLAGS.write_stream or FLAGS.skip or FLAGS.cross_layer)


def file_format() -> str:
    """The files to write."""
    return FLAGS.format or ("circuit_tracer" if FLAGS.cross_layer else "saelens")


def check() -> None:
    """Refuse what no format could hold, before it is trained; each kind takes its own way of saying how sparse.

    Raises:
        UsageError: a kind, a form, a format and a sparsity that do not go together.
    """
    if _transcodes() and FLAGS.kind == "topk":
        raise app.UsageError("--kind: got topk; no format read here holds such transcoders, so take batchtopk")
    if file_format() == "saelens" and FLAGS.cross_layer:
        raise app.UsageError("--format: got saelens; cross-layer transcoders are written for circuit_tracer")
    if file_format() == "circuit_tracer" and not _transcodes():
        raise app.UsageError("--format: got circuit_tracer, which holds transcoders; SAEs are written for saelens")
    kind, sparsity = FLAGS.kind, _sparsity()
    allowed = ("l0", "l0_coefficient") if kind == "jumprelu" else ("k",)
    if not set(sparsity) <= set(allowed):
        flagged = ", ".join(f"--{name}={value:g}" for name, value in sparsity.items())
        raise app.UsageError(f"--kind: {kind} takes its sparsity from --{' and --'.join(allowed)}; got {flagged}")


def design(model: Model) -> Design:
    """What to make for a model.

    Raises:
        UsageError, ValueError: streams or layers that are not to be had so.
    """
    from causeway.engine.train.design import Design

    stream, layer = model.place(FLAGS.stream or ("mlp_in" if _transcodes() else "resid_post"), "--stream")
    written, below = model.place(FLAGS.write_stream or "mlp_out", "--write_stream") if _transcodes() else ("", None)
    if stream == written:
        raise app.UsageError(f"--write_stream: got {written}, which is read; transcoders write another stream")
    for name, flag in ((stream, "stream"), (written, "write_stream")):
        _check_written(name, flag)
    layers = _layers(model.config.num_layers, {number for number in (layer, below) if number is not None})
    if file_format() == "circuit_tracer" and layers != tuple(range(len(layers))):
        raise app.UsageError(f"--layers: got {','.join(FLAGS.layers)}; circuit-tracer's sets have 0, 1, ... in order")
    return Design(stream, layers, written, FLAGS.skip, FLAGS.cross_layer)


def _check_written(stream: str, flag: str) -> None:
    """Refuse, before anything is trained, a stream that the files have no name for."""
    from causeway.ports.dictionaries import circuit_tracer_write
    from causeway.ports.models import site_names

    named = circuit_tracer_write.HOOKS if file_format() == "circuit_tracer" else site_names.HOOK_OF
    if stream and stream not in named:
        raise app.UsageError(f"--{flag}: {stream} has no name in {file_format()} files; take one of {', '.join(named)}")


def recipe(width: int, tokens: int) -> Recipe:
    """How to train; what was not said follows from the stream and the data.

    Args:
        width: numbers of a vector that is read. tokens: to train on.

    Raises:
        ValueError: a number that cannot be.
    """
    from causeway.engine.train.recipe import Recipe
    from causeway.engine.train.sparsity import TrainedKind

    features = WIDER * width if FLAGS.num_features is None else FLAGS.num_features
    told = _sparsity()
    # With a price alone, the target serves only to set the thresholds training starts from.
    default = features / 32 if FLAGS.l0_coefficient is not None else max(1, min(ACTIVE, features // ACTIVE_SHARE))
    steps = FLAGS.steps or min(max(PASSES * tokens // FLAGS.batch, FEWEST_STEPS), MOST_STEPS)
    with named("l0" if FLAGS.kind == "jumprelu" else "k"):
        return Recipe(
            cast(TrainedKind, FLAGS.kind), features, told.get("k", told.get("l0", default)), steps, FLAGS.batch,
            corpus_flags.FLAGS.seed, FLAGS.learning_rate, l0_coefficient=FLAGS.l0_coefficient,
        )  # fmt: skip


def _sparsity() -> dict[str, float]:
    given = {name: getattr(FLAGS, name) for name in ("l0", "k", "l0_coefficient")}
    return {name: value for name, value in given.items() if value is not None}


def _layers(count: int, named: set[int]) -> tuple[int, ...]:
    """Those of --layers, from 0 on; `named` are those that the names of the streams say."""
    given = layer_numbers("layers")
    if not given:
        return tuple(sorted(named)) or tuple(range(count))
    from causeway.engine import scalars

    layers = tuple(scalars.layer(number, count, "--layers") for number in given)
    if named - set(layers) or (named and len(layers) > 1):
        raise app.UsageError(f"--layers: got {','.join(FLAGS.layers)}, but the streams are named of layer {min(named)}")
    return layers
