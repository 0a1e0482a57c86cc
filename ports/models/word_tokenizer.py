"""A word-level tokenizer for small models, made from texts and written in the Hugging Face layout.

Pieces are a word with the space before it, a single digit, a punctuation mark with the space before it, or one
whitespace character; pieces joined give the text back exactly. The vocabulary is the specials `<s> </s> <unk>`, the
ten digits, and the pieces of the texts in alphabetical order (or the most frequent ones, where a limit is given).
Written are `tokenizer.json` and `tokenizer_config.json`, which `transformers` loads as they are.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

BOS, EOS, UNKNOWN = "<s>", "</s>", "<unk>"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
SPECIALS = (BOS, EOS, UNKNOWN)
PIECE = r" ?[^\W\d_]+| ?[^\w\s]|\d|_|\s"


def build_word_tokenizer(texts: Iterable[str], max_vocabulary: int) -> Tokenizer:
    """A tokenizer that knows the pieces of the texts.

    Args:
        texts: everything the tokenizer should know.
        max_vocabulary: upper limit on ids, specials and digits included; rarer pieces become `<unk>`.

    Raises:
        ValueError: the limit leaves no room beside specials and digits.
    """
    always = (*SPECIALS, *"0123456789")
    if max_vocabulary <= len(always):
        raise ValueError(f"max_vocabulary: got {max_vocabulary}; needs more than {len(always)} (specials and digits)")
    split = pre_tokenizers.Split(Regex(PIECE), behavior="isolated")
    counts = Counter(piece for text in texts for piece, _ in split.pre_tokenize_str(text))
    frequent = sorted((p for p in counts if p not in always), key=lambda p: (-counts[p], p))
    pieces = (*always, *sorted(frequent[: max_vocabulary - len(always)]))
    return _assemble({piece: i for i, piece in enumerate(pieces)}, split)


def save_word_tokenizer(tokenizer: Tokenizer, directory: str | Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` into a directory, which is made if it is missing."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "unk_token": UNKNOWN,
        "add_bos_token": True,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def copy_tokenizer(source: str | Path, directory: str | Path) -> None:
    """Copy a tokenizer's files from one model directory to another, which is made if it is missing.

    Raises:
        FileNotFoundError: the source has no tokenizer.json.
    """
    if not (Path(source) / "tokenizer.json").is_file():
        raise FileNotFoundError(f"{source}: has no tokenizer.json; give a directory that has one")
    Path(directory).mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (Path(source) / name).is_file():
            shutil.copyfile(Path(source) / name, Path(directory) / name)


def _assemble(vocabulary: dict[str, int], split: pre_tokenizers.PreTokenizer) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, vocabulary[BOS])]
    )
    return tokenizer
