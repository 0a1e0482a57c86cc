"""A loaded model: modules, tokenizer and identity, as one immutable handle."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from causeway.engine import scalars
from causeway.engine.arrays import AnyArray
from causeway.engine.gathered import to_host
from causeway.engine.intervention.sites import Place, own_place
from causeway.engine.model import text
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.refusals import formed_stream
from causeway.engine.model.text import Tokenizer
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision

# A text, or token ids: a sequence of whole numbers, or a one-dimensional array of them (numpy, jax or torch).
Prompt = str | Sequence[int]
# Messages, and whether the text goes on to where an answer begins -> the text.
Template = Callable[[Sequence[Mapping[str, Any]], bool], str]


@dataclasses.dataclass(frozen=True)
class Model:
    """What `load_model` returns.

    Attributes:
        transformer: the modules (a pytree of arrays).
        tokenizer: None for models used by token ids alone.
        name: the reference it was loaded from.
        identity: the fingerprint, or a function that computes it when it is first asked for (and remembers it).
        prepend_bos: whether `tokens` puts the begin-of-sequence id before a text that does not begin with it.
        read_place: reads the name of a place; whoever loads a model supplies one that knows its family's names.
        own_stops: ids that end what the model writes, as its files name them; None takes the tokenizer's end of
            sequence.
        chat_template: writes messages as one text, and whether it goes on to where an answer begins; None where the
            model has none (see `cw.chat`).
    """

    transformer: Transformer
    tokenizer: Tokenizer | None
    name: str
    identity: str | Callable[[], str]
    prepend_bos: bool = True
    read_place: Callable[[str], Place] = own_place
    own_stops: tuple[int, ...] | None = None
    chat_template: Template | None = None

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

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids that end what the model writes."""
        if self.own_stops is not None:
            return self.own_stops
        end = None if self.tokenizer is None else self.tokenizer.eos_id
        return () if end is None else (end,)

    def tokens(self, prompt: Prompt, truncate: int | None = None) -> list[int]:
        """Token ids the model is run on: the BOS policy applies to text; ids pass unchanged.

        Args:
            prompt: one text, or the ids of one prompt.
            truncate: keep at most this many tokens, the first ones, BOS included; None refuses what is too long.

        Raises:
            ValueError: neither text nor ids, an empty prompt, text without a tokenizer, an id outside the vocabulary,
                or too many tokens.
        """
        ids = self._encode(prompt) if isinstance(prompt, str) else _ids(prompt)
        if not ids:
            raise ValueError(f"prompt: got {scalars.shown(prompt)}, which has no tokens; give at least one token")
        if truncate is not None:
            ids = ids[: scalars.integer(truncate, "truncate", 1)]
        self._check_ids(ids)
        return ids

    def answer_tokens(self, prompt: Prompt, answers: Sequence[str]) -> list[list[int]]:
        """Token ids of each text where it continues the prompt; the one way to encode an answer, a target or a role.

        A prompt of ids is taken as the text it decodes to, so answers have the same tokens after both.

        Raises:
            ValueError: one text in place of a list, a text that changes the prompt's own tokens, or no tokenizer.
        """
        several = isinstance(answers, Iterable) and not isinstance(answers, str | bytes | Mapping)
        if not several or not all(isinstance(answer, str) for answer in answers):
            raise ValueError(f"answers: got {scalars.shown(answers)}; needs a list of texts, such as [' yes', ' no']")
        tokenizer = self._tokenizer("answers")
        before = prompt if isinstance(prompt, str) else text.text_of(tokenizer, self.tokens(prompt))
        return text.continued(tokenizer, before, answers)[1]

    def answer_token(self, prompt: Prompt, answer: str) -> int:
        """The one token that a text is where it continues the prompt.

        Raises:
            ValueError: it is not one token there; see `answer_tokens`.
        """
        [ids] = self.answer_tokens(prompt, [answer])
        if len(ids) != 1:
            raise ValueError(
                f"targets: {answer!r} is {len(ids)} tokens after the prompt ({ids}); needs a single token, its id, or "
                "the first token in which the answers differ (diverging_answers)"
            )
        return ids[0]

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of token ids without the BOS before it; the ids where there is no tokenizer."""
        return " ".join(map(str, ids)) if self.tokenizer is None else text.text_of(self.tokenizer, ids)

    def text_after(self, prompt: Sequence[int], ids: Sequence[int]) -> str:
        """The text that token ids add to those of a prompt; the ids where there is no tokenizer."""
        if self.tokenizer is None:
            return " ".join(map(str, ids))
        return text.text_after(self.tokenizer, prompt, ids)

    def continuation(self, prompt: Sequence[int], ids: Sequence[int]) -> str:
        """The same of tokens that were drawn: a final stop token of the model's is no part of the text."""
        return self.text_after(prompt, ids[:-1] if len(ids) and ids[-1] in self.stop_ids else ids)

    def to_str_tokens(self, prompt: Prompt) -> list[str]:
        """The prompt's tokens as one text each, BOS included; together they are its text, but where a character is cut
        in two. Ids as text where there is no tokenizer.

        Raises:
            ValueError: see `tokens`.
        """
        ids = self.tokens(prompt)
        return [str(i) for i in ids] if self.tokenizer is None else text.token_texts(self.tokenizer, ids)

    def unembed(self, resid: Float[AnyArray, "*rows D"]) -> Float[np.ndarray, "*rows V"]:
        """Logits of vectors of the residual stream, as if they were the last: the final norm comes before.

        Raises:
            ValueError: no array of finite numbers, or vectors of another width than the model's.
        """
        vectors, width = scalars.finite_array(resid, "resid"), self.config.d_model
        if vectors.shape[-1] != width:
            raise ValueError(f"resid: got shape {vectors.shape}; needs vectors of {width} coordinates, {self.name}'s")
        return to_host(_unembed(self.transformer, jnp.asarray(vectors)))

    def _encode(self, prompt: str) -> list[int]:
        tokenizer = self._tokenizer("prompt")
        ids = tokenizer.encode(prompt)
        return text.with_bos(tokenizer, ids) if ids and self.prepend_bos else ids

    def _tokenizer(self, name: str) -> Tokenizer:
        if self.tokenizer is None:
            raise ValueError(f"{name}: got text, but {self.name} has no tokenizer; give token ids")
        return self.tokenizer

    def _check_ids(self, ids: Sequence[int]) -> None:
        last, context = self.config.vocab_size - 1, self.config.max_position
        if max(ids) > last:
            raise ValueError(
                f"prompt: token id {max(ids)} is outside the vocabulary of {self.name} (0..{last}); check that the "
                "tokenizer belongs to the model"
            )
        if len(ids) > context:
            raise ValueError(
                f"prompt: {len(ids)} tokens, but the context of {self.name} is {context}; shorten it (in Python, "
                f"model.tokens(prompt, truncate={context}) keeps the first ones)"
            )


@jax.jit
@full_precision
def _unembed(transformer: Transformer, resid: Float[Array, "*rows D"]) -> Float[Array, "*rows V"]:
    return transformer.logits(transformer.final_norm(resid.astype(transformer.numerics.compute_dtype)))


def check_model(model: Any) -> None:
    """Refuse what is no model, before anything is asked of it.

    Raises:
        ValueError: naming what came.
    """
    if not isinstance(model, Model):
        raise ValueError(f"model: got {scalars.shown(model)}; needs what load_model returns")


def _ids(prompt: Any) -> list[int]:
    """The ids of one prompt, from a sequence or an array."""
    values = prompt.tolist() if hasattr(prompt, "tolist") else prompt
    if isinstance(values, bytes | bytearray | Mapping) or not isinstance(values, Iterable):
        raise ValueError(f"prompt: got {scalars.shown(prompt)}; needs a text or a list of token ids")
    values = list(values)
    if any(isinstance(value, str) for value in values):
        raise ValueError(
            f"prompt: got a list of texts ({scalars.shown(values)}); needs one text, or the token ids of one prompt; "
            "call it for each text"
        )
    found = scalars.integers(values, "prompt: token id")
    if found.ndim != 1:
        raise ValueError(f"prompt: got ids of shape {found.shape}; needs the token ids of one prompt, in one dimension")
    return found.tolist()


def prompt_list(prompts: Any) -> list[Prompt]:
    """The prompts one by one.

    A text is one prompt, and so is a sequence of numbers or a one-dimensional array (numpy, jax or torch). Any other
    sequence, or the rows of a two-dimensional array, are several. Whether their ids are ids is for `Model.tokens`.

    Raises:
        ValueError: none, or neither of these.
    """
    if isinstance(prompts, str):
        return [prompts]
    values = prompts.tolist() if hasattr(prompts, "tolist") else prompts
    if isinstance(values, bytes | bytearray | Mapping) or not isinstance(values, Iterable):
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs texts or lists of token ids, one or several")
    listed = list(values)
    if not listed:
        raise ValueError("prompts: got none; give at least one text or list of token ids")
    several = [isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0 for value in listed]
    if any(several) and not all(several):
        raise ValueError(
            f"prompts: got {scalars.shown(listed)}, numbers beside prompts; needs the ids of one prompt, or several "
            "prompts"
        )
    return listed if all(several) else [listed]
