"""A small set of answers, enumerated: what a prompt may be answered with, as a tree of tokens.

An answer is a token sequence with a label (what it means: `stop`, `bet`) and perhaps an amount. All answers of a
prompt form a tree whose root is the prompt's last token. Scoring every answer exactly needs the next-token
distribution at each inner node once, so answers that share their first tokens cost them once:

    P(answer) = product over its tokens of P(token | node)       P(label) = sum over its answers
    P(invalid) = 1 - sum over all answers          E(amount | an answer) = sum P(answer) amount / sum P(answer)

Shapes: n inner nodes (the root is node 0), e edges (node, token); numbers in float64 on the host.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class Answer:
    """One way to answer: its text, what it means, and the amount it names (None where it names none)."""

    text: str
    label: str
    amount: float | None = None


@dataclasses.dataclass(frozen=True)
class AnswerTree:
    """The answers of one prompt as a tree.

    Attributes:
        answers: in the order given. tokens: [n] input token of each inner node. parents: [n], -1 for the root.
        edges: [e, 2] (node, token). paths: for each answer, the edges it takes.
    """

    answers: tuple[Answer, ...]
    tokens: Int[np.ndarray, " n"]
    parents: Int[np.ndarray, " n"]
    edges: Int[np.ndarray, "e 2"]
    paths: tuple[tuple[int, ...], ...]

    @property
    def depths(self) -> Int[np.ndarray, " n"]:
        """Distance of each node from the last prompt token."""
        depths = np.zeros(len(self.tokens), np.int32)
        for node in range(1, len(self.tokens)):
            depths[node] = depths[self.parents[node]] + 1
        return depths

    @property
    def ancestors(self) -> Bool[np.ndarray, "n n"]:
        """Entry (i, j): node j lies strictly above node i."""
        above = np.zeros((len(self.tokens),) * 2, bool)
        for node in range(1, len(self.tokens)):
            above[node] = above[self.parents[node]]
            above[node, self.parents[node]] = True
        return above

    def after(self, tokens: Sequence[int]) -> "AnswerTree":
        """The same tree below a chain of tokens: prompt tokens that an edit makes different from row to row."""
        if not len(tokens):
            return self
        shift = len(tokens)
        chain = np.arange(-1, shift - 1, dtype=np.int32)
        parents = np.concatenate([chain, np.where(self.parents < 0, shift - 1, self.parents + shift).astype(np.int32)])
        return dataclasses.replace(
            self,
            tokens=np.concatenate([np.asarray(tokens, np.int32), self.tokens]),
            parents=parents,
            edges=self.edges + np.array([shift, 0], np.int32),
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Distinct labels in order of first use."""
        return tuple(dict.fromkeys(answer.label for answer in self.answers))


def answer_tree(last_token: int, answers: Sequence[Answer], token_lists: Sequence[Sequence[int]]) -> AnswerTree:
    """Build the tree of answers whose token ids are given.

    Raises:
        ValueError: no answers, an answer without tokens, two answers with the same tokens, or one that begins another
            (its probability as a complete answer is then undefined).
    """
    if not answers:
        raise ValueError("answers: empty; give at least one answer text")
    _check_answers(answers, token_lists)
    tokens, parents = [last_token], [-1]
    nodes: dict[tuple[int, ...], int] = {(): 0}
    edges: dict[tuple[int, int], int] = {}
    paths = []
    for ids in (tuple(ids) for ids in token_lists):
        path = []
        for i, token in enumerate(ids):
            if ids[:i] not in nodes:
                nodes[ids[:i]] = len(tokens)
                tokens.append(ids[i - 1])
                parents.append(nodes[ids[: i - 1]])
            path.append(edges.setdefault((nodes[ids[:i]], token), len(edges)))
        paths.append(tuple(path))
    return AnswerTree(
        tuple(answers), np.array(tokens, np.int32), np.array(parents, np.int32), np.array(list(edges), np.int32),
        tuple(paths),
    )  # fmt: skip


def _check_answers(answers: Sequence[Answer], token_lists: Sequence[Sequence[int]]) -> None:
    seen: dict[tuple[int, ...], str] = {}
    for answer, ids in zip(answers, token_lists, strict=True):
        if not len(ids):
            raise ValueError(f"answers: {answer.text!r} has no tokens")
        if tuple(ids) in seen:
            raise ValueError(f"answers: {answer.text!r} and {seen[tuple(ids)]!r} are the same tokens; keep one")
        seen[tuple(ids)] = answer.text
    for ids, text in seen.items():
        for i in range(1, len(ids)):
            if ids[:i] in seen:
                raise ValueError(
                    f"answers: {seen[ids[:i]]!r} begins {text!r}, so neither's probability is defined; end each with "
                    "what ends an answer (a newline, a stop token)"
                )


@dataclasses.dataclass(frozen=True)
class AnswerScores:
    """Exact outcome of R rows, float64.

    probability: [R, labels], in `AnswerTree.labels` order. invalid: [R] mass on no answer. expected_amount: [R],
    given that one of the answers is given, those without an amount counting as 0 (as sampled answers do).
    log_probability: [R, answers].
    """

    probability: Float[np.ndarray, "R labels"]
    invalid: Float[np.ndarray, " R"]
    expected_amount: Float[np.ndarray, " R"]
    log_probability: Float[np.ndarray, "R answers"]


def score_answers(tree: AnswerTree, edge_log_probability: Float[np.ndarray, "R e"]) -> AnswerScores:
    """Sum edge log probabilities along the answers, and answers over labels."""
    edges = np.asarray(edge_log_probability, np.float64)
    log_probability = np.stack([edges[:, list(path)].sum(axis=1) for path in tree.paths], axis=1)
    p = np.exp(log_probability)
    member = np.array([[a.label == label for label in tree.labels] for a in tree.answers], np.float64)
    amounts = np.array([a.amount or 0.0 for a in tree.answers])
    named = p.sum(axis=1)
    # Rounding can take the sum a hair above 1; a probability below 0 would be nonsense downstream.
    return AnswerScores(p @ member, np.maximum(1 - named, 0.0), p @ amounts / named, log_probability)
