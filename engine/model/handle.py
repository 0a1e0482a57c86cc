"""A loaded model: modules, tokenizer and identity, as one immutable handle."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

from causeway.engine import scalars
from causeway.engine.intervention.sites import Place, own_place
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.refusals import formed_stream
from causeway.engine.model.transformer import Transformer


class Tokenizer(Protocol):
    """Text to token ids and back; no special token is ever added or removed silently."""

    vocab_size: int
    bos_id: int | None
    eos_id: int | None
    fingerprint: str

    def encode(self, text: str, unknown: bool = False) -> list[int]:
        """Token ids of a text, without special tokens around it; refused where a part is not in the vocabulary, unless
        `unknown` lets it stand for itself, as in a corpus."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens included."""
        ...


@dataclasses.dataclass(frozen=True)
class Model:
    """What `load_model` returns.

    Attributes:
        transformer: the modules (a pytree of arrays).
        tokenizer: None for models used by token ids alone.
        name: the reference it was loaded from.
        identity: the fingerprint, or a function that computes it when it is first asked for (and remembers it).
        prepend_bos: whether `tokens` puts the begin-of-sequence id before a text.
        read_place: reads the name of a place; whoever loads a model supplies one that knows its family's names.
    """

    transformer: Transformer
    tokenizer: Tokenizer | None
    name: str
    identity: str | Callable[[], str]
    prepend_bos: bool = True
    read_place: Callable[[str], Place] = own_place

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.transformer!r}, storage {self.numerics.storage})"

    @property
    def fingerprint(self) -> str:
        """sha256 over configuration and weights, which takes a reading of the files the first time.

        Raises:
            ValueError: the files are not the ones that were loaded any more.
        """
        return self.identity if isinstance(self.identity, str) else self.identity()

    @property
    def config(self) -> ModelConfig:
        """Shapes and constants."""
        return self.transformer.config

    @property
    def numerics(self) -> Numerics:
        """Dtypes."""
        return self.transformer.numerics

    def place(self, name: str, where: str) -> Place:
        """The stream, and the layer if it says one, of a place's name: STREAM, STREAM.LAYER, or one of other libraries.

        Args:
            where: the argument, for errors.

        Raises:
            ValueError: not a name of this model's, or of a stream or layer that it does not have.
        """
        if not isinstance(name, str):
            raise ValueError(f"{where}: got {scalars.shown(name)}; needs the name of a stream, such as resid_post")
        try:
            found = self.read_place(name)
        except ValueError as error:
            raise ValueError(f"{where}: {str(error).removeprefix('site: ')}") from None
        stream = formed_stream(found.stream, self.config, where)
        if found.layer is None:
            return Place(stream)
        return Place(stream, scalars.layer(found.layer, self.config.num_layers, f"{where}: layer of {name!r}"))

    def tokens(self, prompt: str | Sequence[int]) -> list[int]:
        """Token ids the model is run on: the BOS policy applies to text; ids pass unchanged.

        Raises:
            ValueError: empty prompt, text without a tokenizer, an id outside the vocabulary, or too many tokens.
        """
        ids = self._encode(prompt) if isinstance(prompt, str) else [int(i) for i in prompt]
        if not ids:
            raise ValueError(f"prompt: got {prompt!r}, which has no tokens; give at least one token")
        out_of_range = [i for i in ids if not 0 <= i < self.config.vocab_size]
        if out_of_range:
            raise ValueError(
                f"prompt: token id {out_of_range[0]} is outside the vocabulary of {self.name} "
                f"(0..{self.config.vocab_size - 1}); check that the tokenizer belongs to the model"
            )
        if len(ids) > self.config.max_position:
            raise ValueError(
                f"prompt: {len(ids)} tokens, but the context of {self.name} is {self.config.max_position}; shorten it"
            )
        return ids

    def continuation(self, prompt: Sequence[int], ids: Sequence[int]) -> str:
        """The text that token ids add to a prompt, a final end-of-sequence left out; ids where there is no tokenizer.

        Decoded behind the prompt's last token, because many tokenizers strip a text's first space.
        """
        if self.tokenizer is None:
            return " ".join(map(str, ids))
        ids = list(ids[:-1]) if len(ids) and ids[-1] == self.tokenizer.eos_id else list(ids)
        last = prompt[-1]
        return self.tokenizer.decode([last, *ids])[len(self.tokenizer.decode([last])) :]

    def _encode(self, text: str) -> list[int]:
        if self.tokenizer is None:
            raise ValueError(f"prompt: got text, but {self.name} has no tokenizer; give token ids")
        ids = self.tokenizer.encode(text)
        if not ids:
            return []
        if self.prepend_bos and self.tokenizer.bos_id is not None:
            return [self.tokenizer.bos_id, *ids]
        return ids
