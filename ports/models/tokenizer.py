"""A published tokenizer.json as the engine's `Tokenizer` protocol.

The file is executed by the `tokenizers` library, the one under transformers' fast tokenizers, so the ids are the
same; going to it directly starts in milliseconds instead of seconds (importing transformers imports torch where
torch is installed) and nothing rewrites the file's own rules on the way.

No special token is added or removed silently: `encode` gives the text's ids alone. Whether a model's prompts begin
with BOS is a policy of its own, read off the files by `files_prepend_bos` and recorded on the loaded `Model`.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers

from causeway.ports.files.foreign import interpreting, parsing
from causeway.ports.files.hub import BUNDLED
from causeway.ports.models.model_files import ModelFiles, files_of
from causeway.ports.models.reference import locate

TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
# Several times the largest published one.
MOST_BYTES = 1 << 27
# Vocabularies without the rules that apply them.
OTHER_FORMATS = ("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tiktoken.model")


class FileTokenizer:
    """Text to token ids and back.

    Attributes:
        vocab_size: ids are 0..vocab_size-1, added tokens included.
        bos_id, eos_id, unknown_id: None where the tokenizer has none.
        special_ids: of all special tokens, those that stand for no text.
        parts_at_spaces: whether no token holds a space behind something else, so that texts may be cut before spaces.
        files_prepend_bos: whether the published files put BOS before a text.
        fingerprint: sha256 of tokenizer.json.
    """

    def __init__(self, files: ModelFiles):
        content = _read_tokenizer(files)
        self._tokenizer = _parse(files.name(TOKENIZER), content)
        # A published file may still carry the truncation or padding of a training run.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        config = files.json(TOKENIZER_CONFIG) if files.has(TOKENIZER_CONFIG) else {}
        _check_added_tokens(files, config, self._tokenizer)
        self.vocab_size = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values())
        self.bos_id = _special_id(files, config, "bos_token", self._tokenizer)
        self.eos_id = _special_id(files, config, "eos_token", self._tokenizer)
        self.unknown_id = _unknown_id(self._tokenizer)
        added = self._tokenizer.get_added_tokens_decoder()
        named = [i for i in (self.bos_id, self.eos_id, self.unknown_id) if i is not None]
        self.special_ids = frozenset([*named, *(i for i, token in added.items() if token.special)])
        self.parts_at_spaces = _parts_at_spaces(self._tokenizer)
        self.files_prepend_bos = self._detect_bos(config)
        self.fingerprint = hashlib.sha256(content).hexdigest()
        self._is_bundled = BUNDLED in files.where.resolve().parents

    def _detect_bos(self, config: dict[str, Any]) -> bool:
        """`add_bos_token` when written down, else what the file's post-processor puts around an empty text."""
        if self.bos_id is None:
            return False
        written = config.get("add_bos_token")
        if isinstance(written, bool):
            return written
        return self._tokenizer.encode("", add_special_tokens=True).ids[:1] == [self.bos_id]

    def encode(self, text: str, unknown: bool = False) -> list[int]:
        """Token ids of a text, without special tokens around it.

        Args:
            text: any.
            unknown: whether a part that is not in the vocabulary may become the token for unknown parts.

        Raises:
            ValueError: the vocabulary has no token for a part of the text.
        """
        try:
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
        except Exception as error:  # the library raises bare Exceptions
            raise ValueError(f"prompt: cannot tokenize {text[:60]!r}: {error}") from None
        if not unknown and self.unknown_id is not None:
            self._check_known(text, encoding, self.unknown_id)
        return encoding.ids

    def _check_known(self, text: str, encoding: tokenizers.Encoding, unknown_id: int) -> None:
        """Refuse parts that became the token for unknown parts, unless they are its own text."""
        token = self._tokenizer.id_to_token(unknown_id)
        for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token_id == unknown_id and text[start:end] != token:
                raise ValueError(
                    f"prompt: {text[start:end]!r} in {text[:60]!r} is not in the model's vocabulary and would be run "
                    f"as {token!r}; use words it knows, or give token ids{self._known_prompts()}"
                )

    def _known_prompts(self) -> str:
        """Where prompts come from that a bundled model knows every word of."""
        if not self._is_bundled:
            return ""
        from causeway.engine.analyses.prompts.catalogue import BEHAVIOURS
        from causeway.engine.analyses.prompts.sets.bundled_tasks import PREFIX

        names = ",".join(name for name in BEHAVIOURS if name.startswith(PREFIX))
        return f"; `causeway prompts --behaviours={names}` makes prompts that this bundled model knows"

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many texts, on all cores; parts that are not in the vocabulary become the token for those.

        Raises:
            ValueError: a text cannot be tokenized.
        """
        try:
            return [
                encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
            ]
        except Exception as error:  # the library raises bare Exceptions
            raise ValueError(f"texts: cannot be tokenized: {error}") from None

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens included."""
        return self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=False)


def load_tokenizer(where: Path) -> FileTokenizer:
    """The tokenizer of a model's folder or GGUF file.

    Raises:
        FileNotFoundError: no tokenizer.json.
        ValueError: the file is damaged, or disagrees with tokenizer_config.json.
    """
    files = files_of(where)
    with interpreting(files.name(TOKENIZER_CONFIG), "configuration of a tokenizer"):
        return FileTokenizer(files)


def has_tokenizer(where: Path) -> bool:
    """Whether a model has a tokenizer of any format; `load_tokenizer` says what to do about unread ones."""
    files = files_of(where)
    return any(files.has(name) for name in (TOKENIZER, *OTHER_FORMATS))


def _read_tokenizer(files: ModelFiles) -> bytes:
    if files.has(TOKENIZER):
        return files.read(TOKENIZER, MOST_BYTES)
    where, others = files.name(TOKENIZER), [name for name in OTHER_FORMATS if files.has(name)]
    if others:
        raise FileNotFoundError(
            f"{where}: no such file, only {others[0]}; write it with "
            f"transformers.AutoTokenizer.from_pretrained({str(files.where)!r}).save_pretrained(...)"
        )
    raise FileNotFoundError(f"{where}: no such file; without it only token ids can be used as prompts")


def _parse(where: str, content: bytes) -> tokenizers.Tokenizer:
    with parsing(where, "tokenizer"):
        tokenizer = tokenizers.Tokenizer.from_buffer(content)
        if not tokenizer.get_vocab_size(with_added_tokens=True):
            raise ValueError("it has no tokens")
        if tokenizer.post_processor is not None:
            _check_template(json.loads(tokenizer.post_processor.__getstate__()))
        # What a file asks for may fail only when it is used.
        tokenizer.encode("", add_special_tokens=True)
    return tokenizer


def _check_template(processor: dict[str, Any]) -> None:
    """Refuse a template with special tokens that it does not list, at which the library panics."""
    for inner in processor.get("processors", ()):
        _check_template(inner)
    pieces = [*processor.get("single", ()), *processor.get("pair", ())]
    named = {piece["SpecialToken"]["id"] for piece in pieces if "SpecialToken" in piece}
    if unknown := sorted(named - set(processor.get("special_tokens", ()))):
        raise ValueError(f"its template puts {unknown[0][:40]!r} around a text, which is not among its special tokens")


def _parts_at_spaces(tokenizer: tokenizers.Tokenizer) -> bool:
    """Whether its rules cut before spaces first: those over bytes do, unless they put a space before each part."""
    if tokenizer.pre_tokenizer is None:
        return False
    rules = json.loads(tokenizer.pre_tokenizer.__getstate__())
    bytes_ = [rule for rule in rules.get("pretokenizers", [rules]) if rule.get("type") == "ByteLevel"]
    return bool(bytes_) and not any(rule.get("add_prefix_space") for rule in bytes_)


def _text_of(token: Any) -> str | None:
    """A special token is written as its text or as an object holding it."""
    return token.get("content") if isinstance(token, dict) else token


def _special_id(files: ModelFiles, config: dict[str, Any], name: str, tokenizer: tokenizers.Tokenizer) -> int | None:
    text = _text_of(config.get(name))
    if text is None and files.has(SPECIAL_TOKENS):
        text = _text_of(files.json(SPECIAL_TOKENS).get(name))
    if text is None:
        return None
    where = files.name(TOKENIZER_CONFIG)
    if not isinstance(text, str):
        raise ValueError(f"{where}: {name} is {text!r}; needs the text of a token")
    token_id = tokenizer.token_to_id(text)
    if token_id is None:
        raise ValueError(f"{where}: {name} {text!r} is not in {TOKENIZER}; do both belong to one model?")
    return token_id


def _unknown_id(tokenizer: tokenizers.Tokenizer) -> int | None:
    """What a part outside the vocabulary becomes; byte-level vocabularies have a token for every part."""
    text = getattr(tokenizer.model, "unk_token", None)
    return None if text is None else tokenizer.token_to_id(text)


def _check_added_tokens(files: ModelFiles, config: dict[str, Any], tokenizer: tokenizers.Tokenizer) -> None:
    """Tokens that only the config adds would be split into pieces here, silently."""
    for token_id, token in (config.get("added_tokens_decoder") or {}).items():
        if str(tokenizer.token_to_id(_text_of(token) or "")) != token_id:
            raise ValueError(
                f"{files.name(TOKENIZER_CONFIG)}: added token {_text_of(token)!r} (id {token_id}) is not in "
                f"{TOKENIZER}; save the tokenizer again with transformers so that both agree"
            )


FILES = (TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS)


def tokenizer_of(reference: str) -> FileTokenizer:
    """The tokenizer of a model, by any of its references (see `ports.models.reference`).

    Raises:
        FileNotFoundError: nothing there, or no tokenizer in it.
        ValueError: a damaged file.
    """
    return load_tokenizer(locate(reference, FILES, has_tokenizer))
