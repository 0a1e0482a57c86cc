"""Reads damaged files through the public loaders, one after the other, and tells what came of each.

A process of its own, so that a loader that hangs, crashes or takes all memory is seen for what it is. Lines on stdin
are [loader, folder]; lines on stdout are objects of `result` ("read", "refused" or the type of what was raised),
`message`, `seconds` of processor time and `megabytes` of memory beyond what the process had.
"""

import json
import resource
import sys
import time
import traceback
from pathlib import Path

import numpy as np

import causeway as cw
from causeway.engine.analyses.patch_sweep.design import sweep_prompt
from causeway.engine.analyses.patch_sweep.features import features_of
from causeway.engine.analyses.screen.compared import compared
from causeway.engine.prompt_record import check_group, check_pair
from causeway.engine.tokenized_prompt import TokenizedPrompt
from causeway.ports.files.jsonl import read_texts
from causeway.ports.models.load import read_model_config
from causeway.ports.models.tokenizer import load_tokenizer
from causeway.ports.prompts.prompt_files import read_prompts
from causeway.ports.prompts.sweep_inputs import read_answers, read_feature_table

# Far more than what is allowed: this protects the machine, the tests look at what was used.
ADDRESS_SPACE = 8 << 30
MODEL = cw.load_model("bundled:tiny")


def model(folder: Path) -> None:
    """Weights, tokenizer and a pass through it."""
    loaded = cw.load_model(folder)
    np.asarray(loaded.transformer.embedding[...]).sum()


def config(folder: Path) -> None:
    """A configuration alone, with the name map that it asks for."""
    family, found = read_model_config(folder)
    family.name_map(found)


def tokenizer(folder: Path) -> None:
    """Text to ids and back."""
    found = load_tokenizer(folder)
    found.decode(found.encode("game: loss $20. balance $150.", unknown=True))


def dictionaries(folder: Path) -> None:
    """All arrays of all layers."""
    cw.load_dictionaries(folder)


def screen(folder: Path) -> None:
    """Prompts of `screen`."""
    records, _ = read_prompts([folder / "prompts.jsonl"], check_group)
    prompts = [TokenizedPrompt(record, tuple(MODEL.tokens(record.content))) for record in records]
    compared(prompts, ("safe", "risky"), strata=("round",))


def sweep(folder: Path) -> None:
    """Prompts of `patch_sweep`, with their answers."""
    records, _ = read_prompts([folder / "prompts.jsonl"], check_group)
    for place, record in enumerate(records):
        sweep_prompt(MODEL, record, place)


def behaviours(folder: Path) -> None:
    """Prompts of `evaluate`, `attribute` and `intervene`, and of `features`."""
    read_prompts([folder / "prompts.jsonl"], check_pair)
    read_prompts([folder / "prompts.jsonl"])


def texts(folder: Path) -> None:
    """Texts to run and to train on."""
    for path in sorted(folder.iterdir()):
        read_texts(path)


def answers(folder: Path) -> None:
    """Answers common to all prompts."""
    read_answers(str(folder / "answers.json"))


def features(folder: Path) -> None:
    """Features of a sweep."""
    for path in sorted(folder.iterdir()):
        features_of(read_feature_table(str(path)), "mean_active", 2, None)


LOADERS = {
    loader.__name__: loader
    for loader in (
        model, config, tokenizer, dictionaries, screen, sweep, behaviours, texts, answers, features,
    )
}  # fmt: skip


def read(loader: str, folder: Path) -> dict:
    """What comes of one folder."""
    before, start = _peak(), time.process_time()
    try:
        LOADERS[loader](folder)
        result, message = "read", ""
    except (ValueError, OSError) as error:
        result, message = "refused", str(error)
    except BaseException as error:  # a panic of a Rust library is no Exception
        result, message = type(error).__name__, traceback.format_exc()
    return {
        "result": result, "message": message, "seconds": time.process_time() - start,
        "megabytes": (_peak() - before) / 1024,
    }  # fmt: skip


def _peak() -> int:
    """The most kilobytes that the process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("ready", flush=True)
    for line in sys.stdin:
        loader, folder = json.loads(line)
        print(json.dumps(read(loader, Path(folder))), flush=True)
