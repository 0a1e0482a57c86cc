"""Make a small language model from scratch, on the synthetic tasks or on your own texts."""

import functools
import json
import sys
import tempfile
import time
from pathlib import Path

from absl import flags
from ml_collections import config_flags

import causeway.configs
from causeway.drivers.flags.flag_values import all_given, folder, workdir_beside
from causeway.drivers.flags.refusals import run_driver

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    str(Path(causeway.configs.__file__).parent / "bundled_tiny.py"),
    "Configuration file (the bundled model's by default); fields are overridden as --config.schedule.steps=1000.",
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Checkpoints; the same command continues an interrupted run (default: OUT.work)."
)
_OUT = flags.DEFINE_string("out", None, "Directory for the trained model in the Hugging Face layout.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a model that is already in --out.")
_DATA = flags.DEFINE_list("data", [], "Text files (.txt, .json, .jsonl) to train on instead of the synthetic tasks.")
_FIELD = flags.DEFINE_string("field", "text", "The field that holds the text, where a file holds records.")
_TOKENIZER = flags.DEFINE_string(
    "tokenizer", None, "Directory with a tokenizer.json; without it a word-level one is made from the texts."
)
_REPORT_EVERY = flags.DEFINE_integer("report_every", 50, "Steps between lines of progress.", lower_bound=1)


def main(_: list[str]) -> None:
    """Train, write the model, read it back and evaluate it; the model gets its name last."""
    all_given("causeway train_model --data=texts.jsonl --out=model", _OUT)
    out = folder(_OUT)
    workdir, config = workdir_beside(_WORKDIR, out), _CONFIG.value
    _refuse_there(out)

    from causeway.engine import scalars
    from causeway.engine.sweep.durable import write_bytes
    from causeway.engine.train.checkpoint import Checkpoints
    from causeway.engine.train.corpus import texts_sha256
    from causeway.engine.train.language_model import Schedule, train
    from causeway.engine.whole_folder import replacing_folder

    scalars.seed(config.seed, "--config.seed")
    schedule, (texts, held_out) = Schedule(**config.schedule), _texts()
    tokenizer, copy = _tokenizer(texts)
    transformer = _initial_model(config, tokenizer.vocab_size)
    batches, evaluate = _task_data(tokenizer) if not _DATA.value else _text_data(tokenizer, texts, held_out)
    identity = {**json.loads(config.to_json()), "tokenizer": tokenizer.fingerprint, "data": texts_sha256(texts)}
    start = time.monotonic()

    def report(done: int, loss) -> None:
        if done % _REPORT_EVERY.value == 0 or done == schedule.steps:
            print(f"step {done} / {schedule.steps}  loss {loss:.4f}  {time.monotonic() - start:.0f} s", flush=True)

    with Checkpoints(workdir, identity) as checkpoints:
        transformer = train(transformer, batches, schedule, checkpoints, report)
        _refuse_there(out)
        with replacing_folder(out) as partial:
            figures = _written(partial, transformer, copy, evaluate)
            told = {"figures": figures, "seconds": round(time.monotonic() - start), "identity": identity}
            write_bytes(workdir / "summary.json", json.dumps(told, indent=2).encode() + b"\n")
    print(f"{out}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))


def _refuse_there(out: Path) -> None:
    if (out / "model.safetensors").exists() and not _OVERWRITE.value:
        raise FileExistsError(f"--out: {out} holds a model already; give another directory or --overwrite")


def _written(folder: Path, transformer, copy_tokenizer, evaluate) -> dict[str, float]:
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

    if not _DATA.value:
        return [text for split in SPLITS for text in suite.texts(split, 20_000, seed=0)], []
    return split_texts([text for path in _DATA.value for text in read_texts(path, _FIELD.value)])


def _tokenizer(texts: list[str]):
    """The given or a new tokenizer, and a function that writes its files into a folder."""
    from causeway.ports.models.tokenizer import load_tokenizer
    from causeway.ports.models.word_tokenizer import build_word_tokenizer, copy_tokenizer, save_word_tokenizer

    if _TOKENIZER.value:
        return load_tokenizer(Path(_TOKENIZER.value)), functools.partial(copy_tokenizer, _TOKENIZER.value)
    write = functools.partial(save_word_tokenizer, build_word_tokenizer(texts, _CONFIG.value.max_vocabulary))
    with tempfile.TemporaryDirectory() as directory:
        write(directory)
        return load_tokenizer(Path(directory)), write


def _initial_model(config, vocab_size: int):
    from flax import nnx

    from causeway.engine.model.config import ModelConfig, Numerics
    from causeway.engine.model.transformer import Transformer
    from causeway.engine.scalars import seed

    rngs = nnx.Rngs(seed(config.seed, "--config.seed"))
    return Transformer(ModelConfig(**config.model, vocab_size=vocab_size), Numerics(), rngs=rngs)


def _task_data(tokenizer):
    """Batches of the synthetic tasks, and their accuracies."""
    from causeway.engine.train.batches import Bucket, TaskBatches
    from causeway.engine.train.evaluation import task_accuracy

    config = _CONFIG.value
    buckets = tuple(Bucket(dict(b.tasks), b.rows, b.length) for b in config.buckets)
    tasks = sorted({task for bucket in buckets for task in bucket.tasks})
    length = max(bucket.length for bucket in buckets)
    batches = TaskBatches(tokenizer, buckets, config.seed, config.prompt_weight)
    return batches, lambda transformer: task_accuracy(transformer, tokenizer, tasks, length)


def _text_data(tokenizer, texts: list[str], held_out: list[str]):
    """Windows of the texts, and the loss on held-out ones."""
    from causeway.engine.train.batches import TextBatches, join_documents
    from causeway.engine.train.evaluation import text_loss

    shape = {"rows": _CONFIG.value.text.rows, "length": _CONFIG.value.text.length, "seed": _CONFIG.value.seed}
    unseen = TextBatches(join_documents(held_out, tokenizer), **shape)
    return TextBatches(join_documents(texts, tokenizer), **shape), lambda t: {"held_out_loss": text_loss(t, unseen)}


if __name__ == "__main__":
    run_driver(main, sys.argv)
