"""Make a small language model from scratch, on the synthetic tasks or on your own texts."""

from __future__ import annotations

import functools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import config_flags

import causeway.configs
from causeway.drivers.flags.flag_values import absent, all_given, folder, named, no_effect, workdir_beside
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take
from causeway.drivers.flags.training_config import made, model_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_collections import ConfigDict

    from causeway.engine.model.text import Tokenizer
    from causeway.engine.model.transformer import Transformer

    Evaluate = Callable[[Transformer], dict[str, float]]

_CONFIG = config_flags.DEFINE_config_file(
    "config", str(Path(causeway.configs.__file__).parent / "bundled_tiny.py"),
    "Configuration file (the bundled model's by default); fields are overridden as --config.schedule.steps=1000.",
    lock_config=True,
)  # fmt: skip
# Its file of weights, by which a model is known to be there.
WEIGHTS = "model.safetensors"
FLAGS = take("workdir out overwrite data field tokenizer", report_every=50)


def main(_: list[str]) -> None:
    """Train, write the model, read it back and evaluate it; the model gets its name last."""
    all_given("causeway train_model --data=texts.jsonl --out=model", "out")
    out = folder("out")
    if not FLAGS.data:
        no_effect("without --data", "field")
    workdir, config = workdir_beside(out), model_config()
    absent([out / WEIGHTS])

    from causeway.engine.sweep.durable import write_bytes
    from causeway.engine.train.checkpoint import Checkpoints
    from causeway.engine.train.corpus import texts_sha256
    from causeway.engine.train.language_model import Schedule, train
    from causeway.engine.whole_folder import replacing_folder

    schedule, (texts, held_out) = made(Schedule, "schedule"), _texts()
    tokenizer, copy = _tokenizer(texts)
    transformer = _initial_model(config, tokenizer.vocab_size)
    batches, evaluate = _task_data(tokenizer) if not FLAGS.data else _text_data(tokenizer, texts, held_out)
    identity = {**json.loads(config.to_json()), "tokenizer": tokenizer.fingerprint, "data": texts_sha256(texts)}
    start = time.monotonic()

    def report(done: int, loss: Any) -> None:
        if done % FLAGS.report_every == 0 or done == schedule.steps:
            print(f"step {done} / {schedule.steps}  loss {loss:.4f}  {time.monotonic() - start:.0f} s", flush=True)

    with Checkpoints(workdir, identity) as checkpoints:
        transformer = train(transformer, batches, schedule, checkpoints, report)
        absent([out / WEIGHTS])
        with replacing_folder(out) as partial:
            figures = _written(partial, transformer, copy, evaluate)
            told = {"figures": figures, "seconds": round(time.monotonic() - start), "identity": identity}
            write_bytes(workdir / "summary.json", json.dumps(told, indent=2).encode() + b"\n")
    print(f"{out}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))


def _written(
    folder: Path, transformer: Transformer, copy_tokenizer: Callable[[Path], object], evaluate: Evaluate
) -> dict[str, float]:
    """The figures of the model that was written into a folder, as read back."""
    from causeway.ports.models.llama import save_llama
    from causeway.ports.models.load import load_model

    save_llama(folder, transformer, dtype=_CONFIG.value.storage)
    copy_tokenizer(folder)
    print("measuring what was written ...", flush=True)
    return evaluate(load_model(folder).transformer)


def _texts() -> tuple[list[str], list[str]]:
    """Training and held-out texts of --data; without it, samples of the tasks (they make the tokenizer only)."""
    from causeway.engine.tasks import suite
    from causeway.engine.tasks.example import SPLITS
    from causeway.engine.train.corpus import split_texts
    from causeway.ports.files.jsonl import read_texts

    if not FLAGS.data:
        return [text for split in SPLITS for text in suite.texts(split, 20_000, seed=0)], []
    return split_texts([text for path in FLAGS.data for text in read_texts(path, FLAGS.field)])


def _tokenizer(texts: list[str]) -> tuple[Tokenizer, Callable[[Path], object]]:
    """The given or a new tokenizer, and a function that writes its files into a folder."""
    from causeway.ports.models.tokenizer import load_tokenizer
    from causeway.ports.models.word_tokenizer import build_word_tokenizer, copy_tokenizer, save_word_tokenizer

    if FLAGS.tokenizer:
        with named("tokenizer"):
            return load_tokenizer(Path(FLAGS.tokenizer)), functools.partial(copy_tokenizer, FLAGS.tokenizer)
    write = functools.partial(save_word_tokenizer, build_word_tokenizer(texts, _CONFIG.value.max_vocabulary))
    with tempfile.TemporaryDirectory() as directory:
        write(directory)
        return load_tokenizer(Path(directory)), write


def _initial_model(config: ConfigDict, vocab_size: int) -> Transformer:
    from flax import nnx

    from causeway.engine.model.config import ModelConfig, Numerics
    from causeway.engine.model.transformer import Transformer

    architecture = made(ModelConfig, "model", vocab_size=vocab_size)
    return Transformer(architecture, Numerics(), rngs=nnx.Rngs(config.seed))


def _task_data(tokenizer: Tokenizer) -> tuple[Any, Evaluate]:
    """Batches of the synthetic tasks, and their accuracies."""
    from causeway.engine.train.batches import Bucket, TaskBatches
    from causeway.engine.train.language_model import task_accuracy

    config = _CONFIG.value
    buckets = tuple(Bucket(dict(b.tasks), b.rows, b.length) for b in config.buckets)
    tasks = sorted({task for bucket in buckets for task in bucket.tasks})
    length = max(bucket.length for bucket in buckets)
    batches = TaskBatches(tokenizer, buckets, config.seed, config.prompt_weight)
    return batches, lambda transformer: task_accuracy(transformer, tokenizer, tasks, length)


def _text_data(tokenizer: Tokenizer, texts: list[str], held_out: list[str]) -> tuple[Any, Evaluate]:
    """Windows of the texts, and the loss on held-out ones."""
    from causeway.engine.train.batches import TextBatches, join_documents
    from causeway.engine.train.language_model import text_loss

    shape = {"rows": _CONFIG.value.text.rows, "length": _CONFIG.value.text.length, "seed": _CONFIG.value.seed}
    unseen = TextBatches(join_documents(held_out, tokenizer), **shape)
    return TextBatches(join_documents(texts, tokenizer), **shape), lambda t: {"held_out_loss": text_loss(t, unseen)}


if __name__ == "__main__":
    run_driver(main, sys.argv)
