"""Train dictionaries of a model, all layers at once, and say how good they are.

SAEs of any stream; with --transcoder, dictionaries that read one stream and write another (the MLP's input and output),
with --skip beside a linear map, with --cross_layer one transcoder whose features write to all layers above as well.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causeway.drivers.flags import corpus_flags, dictionary_flags
from causeway.drivers.flags.flag_values import absent, all_given, folder, named, workdir_beside
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from collections.abc import Callable

    from causeway.engine.model.handle import Model
    from causeway.engine.train.corpus import Corpus
    from causeway.engine.train.design import Design
    from causeway.engine.train.dictionaries import Progress
    from causeway.engine.train.quality import LayerQuality
    from causeway.engine.train.recipe import Recipe

FLAGS = take("buffer_mib workdir checkpoint_every out storage overwrite", model=None, report_every=200)


QUALITY = "quality.json"
EXAMPLE = "causeway train_dictionary --model=bundled:tiny --data=texts.jsonl --out=saes"


def main(_: list[str]) -> None:
    """Train, write, read back what was written and measure that; the results get their name last."""
    all_given(EXAMPLE, "model", "data", "out")
    out = folder("out")
    workdir = workdir_beside(out)
    if FLAGS.storage == "int8":
        raise ValueError("--storage: got int8; dictionaries are written in floats")
    _refuse_there(out)
    dictionary_flags.check()

    from causeway.engine.train.checkpoint import Checkpoints
    from causeway.engine.train.dictionaries import train_dictionaries
    from causeway.engine.train.harvest import Shuffled, Source
    from causeway.ports.models.load import load_model

    texts = corpus_flags.texts()
    with named("model"):
        model = load_model(FLAGS.model or "")
    design = dictionary_flags.design(model)
    training, held_out = corpus_flags.corpora(model, texts)
    source = Source(model.transformer, training, design.stream, design.layers, design.write_stream)
    recipe = dictionary_flags.recipe(source.d_in, int(training.counts.sum()))
    data = Shuffled(source, recipe.batch, recipe.seed, FLAGS.buffer_mib)
    identity = {
        **dataclasses.asdict(recipe), **design.identity, "model": model.fingerprint, "text": training.fingerprint,
        "buffer_mib": FLAGS.buffer_mib,
    }  # fmt: skip
    _announce(recipe, design, training, held_out)
    with Checkpoints(workdir, identity) as checkpoints:
        trained = train_dictionaries(recipe, data, design, checkpoints, FLAGS.checkpoint_every, _reporter(recipe.steps))
        _write(out, model, trained, design, held_out, identity)


def _refuse_there(out: Path) -> None:
    absent(entry for entry in out.glob("*") if _is_result(entry))


def _is_result(entry: Path) -> bool:
    """Whether an entry of --out belongs to dictionaries, and is replaced with them."""
    from causeway.ports.dictionaries import circuit_tracer_write, saelens_write

    return saelens_write.is_written(entry) or circuit_tracer_write.is_written(entry) or entry.name == QUALITY


def _announce(recipe: Recipe, design: Design, training: Corpus, held_out: Corpus) -> None:
    tokens = int(training.counts.sum())
    print(f"{tokens} tokens to train on, {held_out.counts.sum()} held out; layers {list(design.layers)}")
    aim = f"{recipe.active:g} active a token" if recipe.l0_coefficient is None else f"price {recipe.l0_coefficient:g}"
    passes = f"{recipe.steps} steps, {recipe.steps * recipe.batch / tokens:.1f} passes over the text"
    print(f"{recipe.kind}: {recipe.features} features a layer, {aim}; {passes}", flush=True)


def _write(out: Path, model: Model, trained: Any, design: Design, held_out: Corpus, identity: dict[str, Any]) -> None:
    """All files into a folder beside --out, which takes its name when the report of what was read back is in it."""
    from causeway.engine.whole_folder import replacing_folder
    from causeway.ports.dictionaries.circuit_tracer_write import save_circuit_tracer
    from causeway.ports.dictionaries.load import save_dictionary

    _refuse_there(out)
    with replacing_folder(out, _is_result) as partial:
        if dictionary_flags.file_format() == "circuit_tracer":
            save_circuit_tracer(partial, trained, model.name, storage=FLAGS.storage)
        else:
            metadata = {
                "model_name": model.name, "prepend_bos": model.prepend_bos,
                "context_size": corpus_flags.length(model), "training_architecture": FLAGS.kind,
            }  # fmt: skip
            save_dictionary(partial, trained, metadata, storage=FLAGS.storage)
        figures, rows = _measured(partial, model, design, held_out, identity["steps"] * identity["batch"])
        report = {"identity": identity, "storage": FLAGS.storage, "loss_rows": rows}
        report["layers"] = [f.as_dict() for f in figures]
        (partial / QUALITY).write_text(json.dumps(report, indent=2) + "\n")

    from causeway.engine.train.quality import quality_table

    print(f"{quality_table(figures)}\ndictionaries and {QUALITY} are in {out}")


def _measured(
    folder: Path, model: Model, design: Design, held_out: Corpus, passed: int
) -> tuple[list[LayerQuality], int]:
    """The figures of what was written, as read back, and the rows of those of cross-entropy."""
    from causeway.engine.train.quality import has_losses, measure_quality, rows_within
    from causeway.ports.dictionaries.load import load_dictionaries

    written = load_dictionaries(folder, design.layers, for_model=model)
    rows = rows_within(held_out, design.layers, passed) if has_losses(written) else 0
    losses = f", cross-entropy on {rows} of {len(held_out.tokens)} rows" if rows else ""
    print(f"measuring on the held-out text what was written{losses} ...", flush=True)
    return measure_quality(model.transformer, written, held_out, rows), rows


def _reporter(steps: int) -> Callable[[int, Progress], None]:
    """A line of progress now and then."""
    start = time.monotonic()

    def report(done: int, progress: Progress) -> None:
        if done % FLAGS.report_every == 0 or done == steps:
            explained = " ".join(f"{1 - float(u):.3f}" for u in progress.unexplained)
            l0, dead = (" ".join(f"{float(v):.0f}" for v in values) for values in (progress.l0, progress.dead))
            print(
                f"step {done} / {steps}  explained {explained}  L0 {l0}  dead {dead}  {time.monotonic() - start:.0f} s",
                flush=True,
            )

    return report


if __name__ == "__main__":
    run_driver(main, sys.argv)
