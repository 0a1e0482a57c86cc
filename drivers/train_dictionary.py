"""Train dictionaries of a model, all layers at once, and say how good they are.

SAEs of any stream; with --transcoder, dictionaries that read one stream and write another (the MLP's input and output),
with --skip beside a linear map, with --cross_layer one transcoder whose features write to all layers above as well.
"""

import dataclasses
import json
import sys
import time
from pathlib import Path

from absl import app, flags

from causeway.drivers import corpus_flags, dictionary_flags
from causeway.drivers.flag_values import folder, given
from causeway.drivers.refusals import run_driver

_MODEL = flags.DEFINE_string("model", None, "Directory, hub id or bundled:NAME of the model.")
_BUFFER = flags.DEFINE_integer("buffer_mib", 1024, "Memory for activations, MiB.", lower_bound=1)
_WORKDIR = flags.DEFINE_string("workdir", None, "Checkpoints; the same command continues an interrupted run.")
_CHECKPOINT_EVERY = flags.DEFINE_integer("checkpoint_every", 500, "Steps between checkpoints.", lower_bound=1)
_REPORT_EVERY = flags.DEFINE_integer("report_every", 200, "Steps between lines of progress.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "Directory for the dictionaries and quality.json.")
_STORAGE = flags.DEFINE_enum("storage", "float32", ["float32", "bfloat16", "float16"], "Matrices on disk.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace dictionaries that are already in --out.")


def main(argv: list[str]) -> None:
    """Train, write, read back what was written and measure that."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    model_name = given(_MODEL, "a directory, a hub id or bundled:NAME")
    workdir, out = folder(_WORKDIR), folder(_OUT)
    if not (corpus_flags.DATA.value and dictionary_flags.FEATURES.value):
        raise ValueError("--data, --features: got nothing; needs texts to train on and a number of features a layer")
    there = [*out.glob("*/cfg.json"), *out.glob("config.yaml")]
    if there and not _OVERWRITE.value:
        raise app.UsageError(f"--out: {out} holds dictionaries already; give another directory or --overwrite")
    dictionary_flags.check()

    from causeway.engine.train.checkpoint import Checkpoints
    from causeway.engine.train.dictionaries import train_dictionaries
    from causeway.engine.train.harvest import Shuffled, Source
    from causeway.ports.load import load_model

    recipe, model = dictionary_flags.recipe(), load_model(model_name)
    design = dictionary_flags.design(model)
    training, held_out = corpus_flags.corpora(model)
    source = Source(model.transformer, training, design.stream, design.layers, design.write_stream)
    data = Shuffled(source, recipe.batch, recipe.seed, _BUFFER.value)
    identity = {
        **dataclasses.asdict(recipe), **design.identity, "model": model.fingerprint, "text": training.fingerprint,
        "buffer_mib": _BUFFER.value,
    }  # fmt: skip
    print(f"{training.counts.sum()} tokens to train on, {held_out.counts.sum()} held out; layers {list(design.layers)}")
    with Checkpoints(workdir / "checkpoints", identity) as checkpoints:
        trained = train_dictionaries(
            recipe, data, design, checkpoints, _CHECKPOINT_EVERY.value, _reporter(recipe.steps)
        )
    _write(out, model, trained, recipe.kind)
    _report(out, model, design, held_out, identity)


def _write(out: Path, model, trained, kind: str) -> None:
    from causeway.ports.circuit_tracer_write import save_circuit_tracer
    from causeway.ports.dictionaries import save_dictionary

    storage, overwrite = _STORAGE.value, _OVERWRITE.value
    if dictionary_flags.file_format() == "circuit_tracer":
        save_circuit_tracer(out, trained, model.name, storage=storage, overwrite=overwrite)
        return
    metadata = {"model_name": model.name, "prepend_bos": model.prepend_bos,
                "context_size": corpus_flags.length(model), "training_architecture": kind}  # fmt: skip
    save_dictionary(out, trained, metadata, storage=storage, overwrite=overwrite)


def _report(out: Path, model, design, held_out, identity) -> None:
    """Measure what was written, as read back."""
    from causeway.engine.inspection.cross_layer import measure_cross_layer
    from causeway.engine.train.quality import measure_quality, quality_table
    from causeway.ports.dictionaries import load_dictionaries

    measure = measure_cross_layer if design.cross_layer else measure_quality
    figures = measure(model.transformer, load_dictionaries(out, design.layers, for_model=model), held_out)
    report = {"identity": identity, "storage": _STORAGE.value, "layers": [f.as_dict() for f in figures]}
    (out / "quality.json").write_text(json.dumps(report, indent=2) + "\n")
    print(quality_table(figures))


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
