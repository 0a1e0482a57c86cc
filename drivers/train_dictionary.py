"""Train sparse autoencoders on any stream of a model, all layers at once, and say how good they are."""

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import cast

from absl import app, flags

from causeway.drivers.flag_values import given
from causeway.drivers.refusals import run_driver

TASKS = "tasks"
_MODEL = flags.DEFINE_string("model", None, "Directory, hub id or bundled:NAME of the model.")
_DATA = flags.DEFINE_list(
    "data", [], f"Text files (.txt, .json, .jsonl), or `{TASKS}` for texts of the bundled model's synthetic tasks."
)
_FIELD = flags.DEFINE_string("field", "text", "The field that holds the text, where a file holds records.")
_TEXTS = flags.DEFINE_integer("texts", 20_000, f"Number of texts drawn for --data={TASKS}.", lower_bound=10)
_HELD_OUT = flags.DEFINE_float("held_out", 0.1, "Share of the texts kept for the report.")
_LENGTH = flags.DEFINE_integer("length", 128, "Tokens a row, cut to the model's context.", lower_bound=2)
_LAYOUT = flags.DEFINE_enum("layout", "documents", ["documents", "packed"], "Rows inside one text each, or all full.")
_INCLUDE_BOS = flags.DEFINE_bool("include_bos", False, "Train on the begin-of-sequence position too.")
_STREAM = flags.DEFINE_string("stream", "resid_post", "Stream to read.")
_LAYERS = flags.DEFINE_list("layers", ["all"], "Model layers, comma-separated, or `all`.")
_KIND = flags.DEFINE_enum(
    "kind", "jumprelu", ["jumprelu", "topk", "batchtopk"], "Activation; batchtopk is written as jumprelu."
)
_FEATURES = flags.DEFINE_integer("features", None, "Features a layer.")
_L0 = flags.DEFINE_float("l0", None, "jumprelu: active features a token to aim at.")
_K = flags.DEFINE_float("k", None, "topk and batchtopk: active features a token (in the mean, for batchtopk).")
_L0_COEFFICIENT = flags.DEFINE_float("l0_coefficient", None, "jumprelu: price of an active feature, not a target.")
_STEPS = flags.DEFINE_integer("steps", 2000, "Optimiser steps.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch", 1024, "Tokens a step.", lower_bound=1)
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 2e-3, "Peak rate of Adam; lower leaves fewer features dead.")
_SEED = flags.DEFINE_integer("seed", 0, "Key of initial weights, data order and revivals.")
_BUFFER = flags.DEFINE_integer("buffer_mib", 1024, "Memory for activations, MiB.", lower_bound=1)
_WORKDIR = flags.DEFINE_string("workdir", None, "Checkpoints; the same command continues an interrupted run.")
_CHECKPOINT_EVERY = flags.DEFINE_integer("checkpoint_every", 500, "Steps between checkpoints.", lower_bound=1)
_REPORT_EVERY = flags.DEFINE_integer("report_every", 200, "Steps between lines of progress.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "Directory for the dictionaries (SAELens 6) and quality.json.")
_STORAGE = flags.DEFINE_enum("storage", "float32", ["float32", "bfloat16", "float16"], "Matrices on disk.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace dictionaries that are already in --out.")


def main(argv: list[str]) -> None:
    """Train, write, read back what was written and measure that."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    model_name = given(_MODEL, "a directory, a hub id or bundled:NAME")
    workdir, out = given(_WORKDIR, "a directory for checkpoints"), Path(given(_OUT, "a directory to write to"))
    if not (_DATA.value and _FEATURES.value):
        raise ValueError("--data, --features: got nothing; needs texts to train on and a number of features a layer")
    if not _OVERWRITE.value and any(out.glob("*/cfg.json")):
        raise app.UsageError(f"--out: {out} holds dictionaries already; give another directory or --overwrite")

    from causeway.engine.train.checkpoint import Checkpoints
    from causeway.engine.train.corpus import Layout, make_corpus
    from causeway.engine.train.dictionaries import train_dictionaries
    from causeway.engine.train.harvest import Shuffled, Source
    from causeway.engine.train.quality import measure_quality, quality_table
    from causeway.ports.dictionaries import load_dictionaries, save_dictionary
    from causeway.ports.load import load_model

    recipe, model = _recipe(), load_model(model_name)
    length = min(_LENGTH.value, model.config.max_position)
    layout = cast(Layout, _LAYOUT.value)
    training, held_out = (make_corpus(model, t, length, layout, _INCLUDE_BOS.value) for t in _texts())
    layers = _layers(model.config.num_layers)
    source = Source(model.transformer, training, _STREAM.value, layers)
    data = Shuffled(source, recipe.batch, recipe.seed, _BUFFER.value)
    identity = {
        **dataclasses.asdict(recipe), "stream": _STREAM.value, "layers": list(layers), "model": model.fingerprint,
        "text": training.fingerprint, "buffer_mib": _BUFFER.value,
    }  # fmt: skip
    print(f"{training.counts.sum()} tokens to train on, {held_out.counts.sum()} held out; layers {list(layers)}")
    with Checkpoints(Path(workdir) / "checkpoints", identity) as checkpoints:
        trained = train_dictionaries(
            recipe, data, _STREAM.value, layers, checkpoints, _CHECKPOINT_EVERY.value, _reporter(recipe.steps)
        )
    metadata = {"model_name": model.name, "prepend_bos": model.prepend_bos, "context_size": length,
                "training_architecture": recipe.kind}  # fmt: skip
    save_dictionary(out, trained, metadata, storage=_STORAGE.value, overwrite=_OVERWRITE.value)
    figures = measure_quality(model.transformer, load_dictionaries(out, layers, for_model=model), held_out)
    report = {"identity": identity, "storage": _STORAGE.value, "layers": [f.as_dict() for f in figures]}
    (out / "quality.json").write_text(json.dumps(report, indent=2) + "\n")
    print(quality_table(figures))


def _recipe():
    """The flags as a recipe; each kind takes its own way of saying how sparse."""
    from causeway.engine.train.recipe import Recipe

    kind, given = _KIND.value, {flag.name: flag.value for flag in (_L0, _K, _L0_COEFFICIENT) if flag.value is not None}
    allowed = ("l0", "l0_coefficient") if kind == "jumprelu" else ("k",)
    if not given or not set(given) <= set(allowed):
        flagged = ", ".join(f"--{name}={value:g}" for name, value in given.items()) or "nothing"
        raise app.UsageError(f"--kind: {kind} takes its sparsity from --{' and --'.join(allowed)}; got {flagged}")
    # With a price alone, the target serves only to set the thresholds training starts from.
    active = given.get("k") or given.get("l0") or _FEATURES.value / 32
    return Recipe(
        kind, _FEATURES.value, active, _STEPS.value, _BATCH.value, _SEED.value, _LEARNING_RATE.value,
        l0_coefficient=_L0_COEFFICIENT.value,
    )  # fmt: skip


def _texts() -> tuple[list[str], list[str]]:
    """Training and held-out texts."""
    from causeway.engine.tasks import suite
    from causeway.engine.train.corpus import split_texts
    from causeway.ports.jsonl import read_texts

    if _DATA.value == [TASKS]:
        count = max(1, round(_HELD_OUT.value * _TEXTS.value))
        return suite.texts("train", _TEXTS.value, _SEED.value), suite.texts("held_out", count, _SEED.value)
    return split_texts([text for path in _DATA.value for text in read_texts(path, _FIELD.value)], _HELD_OUT.value)


def _layers(count: int) -> tuple[int, ...]:
    if _LAYERS.value == ["all"]:
        return tuple(range(count))
    if not all(layer.isdecimal() for layer in _LAYERS.value):
        raise app.UsageError(f"--layers: got {','.join(_LAYERS.value)}; needs numbers 0..{count - 1}, or `all`")
    return tuple(int(layer) for layer in _LAYERS.value)


def _reporter(steps: int):
    """A line of progress now and then."""
    start = time.monotonic()

    def report(done: int, progress) -> None:
        if done % _REPORT_EVERY.value == 0 or done == steps:
            explained = " ".join(f"{1 - float(u):.3f}" for u in progress.unexplained)
            l0, dead = (" ".join(f"{float(v):.0f}" for v in values) for values in (progress.l0, progress.dead))
            print(
                f"step {done} / {steps}  explained {explained}  L0 {l0}  dead {dead}  {time.monotonic() - start:.0f} s",
                flush=True,
            )

    return report


if __name__ == "__main__":
    run_driver(main, sys.argv)
