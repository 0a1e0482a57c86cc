"""The distinct texts of responses: what many responses have in common is looked at once."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from causeway.engine.analyses.tokens.counts import Documents
from causeway.engine.analyses.tokens.outcomes import Menu
from causeway.engine.outcome.answers import Answer
from causeway.engine.outcome.parsers import parser


@dataclasses.dataclass(frozen=True)
class DistinctTexts:
    """Distinct texts and contexts, and which each response has.

    Attributes:
        texts: distinct. contexts, prompts: names. text, context, prompt: [R].
    """

    texts: list[str]
    contexts: tuple[str, ...]
    prompts: tuple[str, ...]
    text: Int[np.ndarray, " R"]
    context: Int[np.ndarray, " R"]
    prompt: Int[np.ndarray, " R"]

    @classmethod
    def of(cls, responses: pa.Table) -> "DistinctTexts":
        """Those of responses."""
        column = responses["response"].cast(pa.large_string())
        distinct = pc.unique(column)
        text = pc.index_in(column, value_set=distinct).to_numpy().astype(np.int64)
        names = {}
        for name in ("context", "prompt"):
            plain = responses[name].cast(pa.string())
            values = pc.unique(plain)
            names[name] = tuple(values.to_pylist()), pc.index_in(plain, value_set=values).to_numpy().astype(np.int64)
        (contexts, context), (prompts, prompt) = names["context"], names["prompt"]
        return cls(distinct.to_pylist(), contexts, prompts, text, context, prompt)

    def cut(self, name: str) -> "DistinctTexts":
        """Texts up to what decided, under a parser."""
        pairs, place = np.unique(self.context * len(self.texts) + self.text, return_inverse=True)
        read = parser(name)
        known: dict[str, int] = {}
        number = np.zeros(len(pairs), np.int64)
        for at, pair in enumerate(pairs.tolist()):
            context, text = divmod(pair, len(self.texts))
            kept = self.texts[text][: read(self.texts[text], (), self.contexts[context]).end]
            number[at] = known.setdefault(kept, len(known))
        return dataclasses.replace(self, texts=list(known), text=number[place])

    def menus(self, answers: Mapping[str, tuple[Answer, ...]] | None) -> tuple[list[Menu], Int[np.ndarray, " R"]]:
        """Distinct menus, and which each response's prompt has; see `tokens.find_tokens`."""
        if answers is None:
            return [Menu((), name) for name in self.contexts], self.context
        own = [Menu(answers.get(name, ()), known=bool(answers.get(name))) for name in self.prompts]
        distinct = list(dict.fromkeys(own))
        return distinct, np.array([distinct.index(one) for one in own], np.int64)[self.prompt]

    def known(self, prompts: Mapping[str, str]) -> tuple[list[str], Int[np.ndarray, " R"]]:
        """Distinct texts of the prompts that are known, and the number of each response's, -1 for none."""
        texts = list(dict.fromkeys(prompts[name] for name in self.prompts if name in prompts))
        number = np.array([texts.index(prompts[name]) if name in prompts else -1 for name in self.prompts], np.int64)
        return texts, number[self.prompt]

    def documents(self, number: Int[np.ndarray, " R"]) -> tuple[Documents, Int[np.ndarray, " R"]]:
        """Distinct (text, prompt), and which each response is."""
        distinct, document = np.unique((number + 1) * len(self.texts) + self.text, return_inverse=True)
        return Documents(distinct % len(self.texts), distinct // len(self.texts) - 1), document
