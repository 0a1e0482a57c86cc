"""The tokenizer in a GGUF file, as the tokenizer.json and tokenizer_config.json that the same model has elsewhere.

Two kinds of vocabulary are read (key `tokenizer.ggml.model`):

    gpt2     byte-level BPE: tokens are spelled in the byte alphabet and merges are listed. How text is cut before
             merges apply is named by `tokenizer.ggml.pre`; the rule of each name is in `CUTS`
    llama    SentencePiece BPE: spaces are written as a low line, bytes stand for what is not in the vocabulary, and
             the merges are those that the order of the tokens implies: a token is merged from any two tokens that
             make it up, earlier tokens first

Tokens marked as control are special tokens, those marked as user-defined are matched whole.

Sources: the pre-tokenizers and defaults of llama.cpp; checked against the tokenizers of the original models.
"""

import json
from collections.abc import Iterator
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from causeway.engine import scalars
from causeway.ports.files.foreign import parsing
from causeway.ports.files.gguf_files import GgufFile

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
# Letters of a token: merges that a vocabulary implies take the square of them to find.
LONGEST = 1024
SPACE = "\u2581"
LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
BEFORE = r"[^\r\n\p{L}\p{N}]?"
# What text is cut by: "" is GPT-2's own rule, "digits" that rule after cutting out every digit.
LLAMA3 = rf"{ENDINGS}|{LETTERS}|\p{{N}}{{1,3}}|{REST}"
QWEN2 = rf"{ENDINGS}|{LETTERS}|\p{{N}}|{REST}"
SLASHES = REST.replace(r"[\r\n]*", r"[\r\n/]*")
TEKKEN = rf"{BEFORE}{UPPER}*{LOWER}+|{BEFORE}{UPPER}+{LOWER}*|\p{{N}}|{SLASHES}"
CUTS = {
    "gpt-2": "", "phi-2": "", "mpt": "", "olmo": "", "jais": "", "default": "",
    "smollm": "digits", "starcoder": "digits", "refact": "digits", "command-r": "digits", "codeshell": "digits",
    "exaone": "digits", "minerva-7b": "digits",
    "llama3": LLAMA3, "llama-v3": LLAMA3, "llama-bpe": LLAMA3, "falcon3": LLAMA3, "dbrx": LLAMA3, "smaug-bpe": LLAMA3,
    "qwen2": QWEN2, "deepseek-r1-qwen": QWEN2, "stablelm2": QWEN2, "tekken": TEKKEN,
}  # fmt: skip
# Where a whole piece that is a token is taken as it is, and where BOS is put before a text when no key says.
WHOLE = {"llama3", "llama-v3", "llama-bpe", "falcon3", "tekken"}
BEGINS = {"llama3", "llama-v3", "llama-bpe", "tekken"}
NORMALISED = {"qwen2", "deepseek-r1-qwen"}


def tokenizer_files(file: GgufFile) -> dict[str, Any]:
    """tokenizer.json (its text) and tokenizer_config.json (its object); nothing where the file has no vocabulary.

    Raises:
        ValueError: a kind of vocabulary or a way of cutting text that is not known here.
    """
    kind = file.value("tokenizer.ggml.model", str)
    if kind in (None, "none", "no_vocab"):
        return {}
    if kind not in ("gpt2", "llama"):
        raise ValueError(
            f"{file.path}: tokenizer.ggml.model is {scalars.shown(kind)}; read here are gpt2 (byte-level BPE) and "
            "llama (SentencePiece BPE); give token ids, or use the model's folder"
        )
    tokens = _tokens(file)
    tokenizer = _byte_level(file, tokens) if kind == "gpt2" else _sentencepiece(file, tokens)
    _add_special(tokenizer, file, tokens)
    begins = kind == "llama" or file.value("tokenizer.ggml.pre", str) in BEGINS
    added = file.value("tokenizer.ggml.add_bos_token", bool)
    config: dict[str, Any] = {"add_bos_token": begins if added is None else added}
    for name, key in (("bos_token", "bos"), ("eos_token", "eos")):
        number = file.value(f"tokenizer.ggml.{key}_token_id", int)
        if number is not None and 0 <= number < len(tokens):
            config[name] = tokens[number]
    if (template := file.value("tokenizer.chat_template", str)) is not None:
        config["chat_template"] = template
    return {"tokenizer.json": tokenizer.to_str(), "tokenizer_config.json": config}


def _tokens(file: GgufFile) -> list[str]:
    """The vocabulary as it is looked up; tokens of several spaces are written as SentencePiece writes spaces."""
    tokens = file.value("tokenizer.ggml.tokens", list)
    if not tokens or not all(isinstance(token, str) and len(token) <= LONGEST for token in tokens):
        raise ValueError(
            f"{file.path}: tokenizer.ggml.tokens is missing or no list of texts of at most {LONGEST} letters; "
            "the file is damaged"
        )
    if file.value("tokenizer.ggml.model", str) == "gpt2":
        return tokens
    return [SPACE * len(token) if token and not token.strip(" ") else token for token in tokens]


def _byte_level(file: GgufFile, tokens: list[str]) -> tokenizers.Tokenizer:
    pre = file.value("tokenizer.ggml.pre", str) or "default"
    if pre not in CUTS:
        raise ValueError(
            f"{file.path}: tokenizer.ggml.pre is {scalars.shown(pre)}, a way of cutting text that is not known here "
            f"({', '.join(CUTS)} are); give token ids, or use the model's folder"
        )
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = _bpe(file, vocab=vocabulary, merges=_merges(file, vocabulary), ignore_merges=pre in WHOLE)
    tokenizer.pre_tokenizer = _cut(CUTS[pre])
    tokenizer.decoder = decoders.ByteLevel()
    if pre in NORMALISED:
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def _merges(file: GgufFile, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """The listed merges, each of two tokens to a third; of others the tokenizers library ends in a panic."""
    pairs = []
    with parsing(file.path, "vocabulary"):
        for merge in file.value("tokenizer.ggml.merges", list) or []:
            first, _, second = merge.partition(" ")
            if not (first in vocabulary and second in vocabulary and first + second in vocabulary):
                raise ValueError(f"the merge {scalars.shown(merge)} is not of two tokens to a third")
            pairs.append((first, second))
    return pairs


def _bpe(file: GgufFile, **options: Any) -> tokenizers.Tokenizer:
    with parsing(file.path, "vocabulary"):
        return tokenizers.Tokenizer(models.BPE(**options))


def _cut(rule: str) -> pre_tokenizers.PreTokenizer:
    if rule in ("", "digits"):
        digits = [pre_tokenizers.Digits(individual_digits=True)] if rule else []
        return pre_tokenizers.Sequence([*digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    pieces = pre_tokenizers.Split(Regex(rule), behavior="isolated")
    return pre_tokenizers.Sequence([pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _sentencepiece(file: GgufFile, tokens: list[str]) -> tokenizers.Tokenizer:
    vocabulary = {token: number for number, token in enumerate(tokens)}
    unknown = next((tokens[i] for i, kind in enumerate(_types(file)) if kind == UNKNOWN), None)
    tokenizer = _bpe(
        file, vocab=vocabulary, merges=list(_implied(tokens, vocabulary)), unk_token=unknown, fuse_unk=True,
        byte_fallback=True,
    )  # fmt: skip
    prefixed = file.value("tokenizer.ggml.add_space_prefix", bool) is not False
    spaces = normalizers.Replace(" ", SPACE)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), spaces]) if prefixed else spaces
    back = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)] if prefixed else back)
    return tokenizer


def _implied(tokens: list[str], vocabulary: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Merges of a vocabulary that lists none: those of earlier tokens first, of one token by where its parts stand."""
    for token in tokens:
        pairs = ((token[:at], token[at:]) for at in range(1, len(token)))
        found = [(vocabulary[a], vocabulary[b], a, b) for a, b in pairs if a in vocabulary and b in vocabulary]
        yield from ((a, b) for *_, a, b in sorted(found))


def _types(file: GgufFile) -> list[int]:
    return file.value("tokenizer.ggml.token_type", list) or []


def _add_special(tokenizer: tokenizers.Tokenizer, file: GgufFile, tokens: list[str]) -> None:
    marked = list(zip(tokens, _types(file), strict=False))
    control = [AddedToken(token, normalized=False, special=True) for token, kind in marked if kind == CONTROL]
    whole = [
        AddedToken(token, normalized=False, special=False)
        for token, kind in marked
        if kind == USER_DEFINED and token.strip(SPACE)
    ]
    tokenizer.add_special_tokens(control)
    tokenizer.add_tokens(whole)


def generation_config(file: GgufFile) -> dict[str, Any]:
    """generation_config.json: the tokens that end a text (end of sequence, of turn, of message)."""
    keys = ("eos", "eot", "eom")
    found = [file.value(f"tokenizer.ggml.{key}_token_id", int) for key in keys]
    stops = list(dict.fromkeys(number for number in found if number is not None))
    return {"eos_token_id": stops} if stops else {}


def as_bytes(content: Any) -> bytes:
    """A file's content as it is written."""
    return (content if isinstance(content, str) else json.dumps(content, indent=2)).encode()
