"""Which tokens and words each feature adds to what a model writes, or removes, and what it does to its decisions.

Responses of an earlier study are compared, patched arm with reference arm, in each context: words in each of the units
asked for (`associations`), decisions under each parser and lengths (`outcomes`). What is left out before anything is
counted: runs that repeat the prompt (`counts`), and on request what is written after the decision.

Where every arm of every prompt holds one text alone, trials were not drawn (greedy decoding): they count once.

Cost: half a million responses of 100 tokens take about 90 s of one core, and 3 GB.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from causeway.engine.analyses.tokens import spelling
from causeway.engine.analyses.tokens.associations import Statistics, associations
from causeway.engine.analyses.tokens.comparisons import Comparisons, check_responses, comparisons
from causeway.engine.analyses.tokens.counts import Counted, Documents, counted, in_groups
from causeway.engine.analyses.tokens.distinct_texts import DistinctTexts
from causeway.engine.analyses.tokens.outcomes import (
    LENGTH,
    RECORDED,
    Menu,
    Outcome,
    of_actions,
    of_parsers,
    outcome_table,
)
from causeway.engine.analyses.tokens.summary import LISTED, by_parser, lines
from causeway.engine.earlier_results import TOKENS
from causeway.engine.model.text import Tokenizer
from causeway.engine.outcome.answers import Answer
from causeway.engine.outcome.parsed import INVALID

TOKEN, WORD, WORD_GROUP = "token", "word", "word_group"
UNITS = (TOKEN, WORD, WORD_GROUP)
# A token has about half the length of a word and what stands beside it.
_TOKENS_A_WORD = 2
# A model's own texts are of its tokens.
_MOST_UNKNOWN = 0.01


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked of responses.

    Attributes:
        units: of `UNITS`.
        reference: "baseline" or "noop"; None: the no-op where there is one.
        shared_noise: whether arms of a (prompt, trial) drew the same random numbers.
        echo: words of the shortest run that repeats the prompt and is left out; 0 for none.
        until_decision: name of the parser behind whose decision a text is cut, or "".
        statistics: how words are judged.
    """

    units: tuple[str, ...] = UNITS
    reference: str | None = None
    shared_noise: bool = False
    echo: int = 5
    until_decision: str = ""
    statistics: Statistics = dataclasses.field(default_factory=Statistics)


@dataclasses.dataclass(frozen=True)
class TokenEffects:
    """What features do to words.

    Attributes:
        associations: `associations.SCHEMA`. outcomes: `outcomes.SCHEMA`. about: counts and settings; JSON-able.
    """

    associations: pa.Table
    outcomes: pa.Table
    about: Mapping[str, Any]

    @property
    def contrasts(self) -> list[str]:
        """Names of the contrasts."""
        return list(self.about["contrasts"])

    def __str__(self) -> str:
        return "\n".join(lines(self.associations, self.outcomes, self.about, 0.05))


def find_tokens(
    responses: pa.Table, asked: Asked, tokenizer: Tokenizer | None = None, prompts: Mapping[str, str] | None = None,
    answers: Mapping[str, tuple[Answer, ...]] | None = None,
) -> TokenEffects:  # fmt: skip
    """Compare the responses of patched arms with those of their reference.

    Args:
        responses: `engine.earlier_results.RESPONSES`, each trial once.
        tokenizer: of the model that wrote them; needed for tokens.
        prompts: texts of prompts by the name that responses have for them; of others echoes stay.
        answers: what prompts may be answered with, by the same names; of others no menu is known. None: menus are
            those of the published study, by context.

    Raises:
        ValueError: no responses, nothing to compare, a tokenizer that does not know the texts, or a test that is of no
            comparison.
    """
    check_responses(responses)
    pairs = comparisons(responses, asked.reference, asked.shared_noise)
    _check_test(pairs, asked.statistics)
    responses, pairs, repeated = _drawn(responses, pairs, asked)
    texts = DistinctTexts.of(responses)
    menus, menu = texts.menus(answers)
    outcomes = _outcomes(responses, texts, menus, menu)
    cut = texts.cut(asked.until_decision) if asked.until_decision else texts
    known, number = cut.known(prompts or {})
    tables, units = [], {}
    for one, document in _counted(responses, cut, known, number, asked, tokenizer):
        if not one.lengths.any():
            raise ValueError("responses: no words in any of them; nothing can be told of words")
        tables.append(associations(one, document, pairs, asked.statistics))
        length = one.lengths[document]
        units[one.unit] = {"distinct": len(one.vocabulary), "written": int(length.sum()),
                           "echoes_left_out": int(one.echoed[document].sum())}  # fmt: skip
        if len(tables) == 1:
            outcomes.append(Outcome("", LENGTH, length.astype(np.float64), False))
    about = _about(responses, pairs, asked) | {
        "units": units, "length_in": f"{next(iter(units))}s", "repeated_trials_left_out": repeated,
        "prompts_known": len(known), "prompts": len(texts.prompts),
        "menus": "the study's, by context" if answers is None else "the prompts' answers",
        "responses_of_unknown_menu": int(sum((menu == n).sum() for n, one in enumerate(menus) if not one.known)),
    }  # fmt: skip
    told = outcome_table(iter(outcomes), pairs, asked.statistics.correction)
    about |= {"effects_by_parser": by_parser(told)}
    return TokenEffects(pa.concat_tables(tables).unify_dictionaries(), told, about)


def _drawn(responses: pa.Table, pairs: Comparisons, asked: Asked) -> tuple[pa.Table, Comparisons, int]:
    """Responses that were drawn: of greedy ones, which repeat one text, one each; how many were left out."""
    text = responses["response"].dictionary_encode().combine_chunks().indices.to_numpy().astype(np.int64)
    prompt = responses["prompt"].cast(pa.string()).dictionary_encode().combine_chunks().indices.to_numpy()
    cell = np.unique(pairs.group * (int(prompt.max()) + 1) + prompt, return_inverse=True)[1]
    order = np.lexsort((text, cell))
    starts = np.flatnonzero(np.concatenate([[True], np.diff(cell[order]) > 0]))
    size = np.diff(np.append(starts, len(order)))
    same = text[order[starts]] == text[order[starts + size - 1]]
    if not same.all() or size.max() == 1:
        return responses, pairs, 0
    kept = np.sort(order[starts])
    left = responses.take(kept)
    return left, comparisons(left, asked.reference, asked.shared_noise), len(order) - len(kept)


def _counted(
    responses: pa.Table, texts: DistinctTexts, prompts: Sequence[str], number: Int[np.ndarray, " R"], asked: Asked,
    tokenizer: Tokenizer | None,
) -> Iterator[tuple[Counted, Int[np.ndarray, " R"]]]:  # fmt: skip
    """Words of each unit in all documents, and the document of each response: tokens first, whose number is the length.

    Args:
        number: the prompt of each response among `prompts`.
    """
    documents, document = texts.documents(number)
    cut = spelling.pieces(texts.texts)
    if TOKEN in asked.units:
        if tokenizer is None:
            raise ValueError("units: tokens are those of the model's tokenizer; name it, or take word, word_group")
        if TOKENS in responses.column_names and not responses[TOKENS].null_count and not asked.until_decision:
            spelled, drawn, place = _drawn_tokens(responses, number, tokenizer)
        else:
            spelled, drawn, place = spelling.tokens(texts.texts, cut, tokenizer), documents, document
        _check_known(spelled, tokenizer)
        code = {int(token): at for at, token in enumerate(np.asarray(spelled.ids))}
        runs = [_codes(tokenizer.encode(text, unknown=True), code) for text in prompts]
        yield counted(spelled, drawn, TOKEN, runs, asked.echo * _TOKENS_A_WORD), place
    if "".join(asked.units) == TOKEN:
        return
    spelled = spelling.words(cut)
    del cut
    at = {word: number for number, word in enumerate(spelled.vocabulary)}
    runs = [_codes(spelling.WORD.findall(text.lower()), at) for text in prompts]
    found = counted(spelled, documents, WORD, runs, asked.echo)
    if WORD in asked.units:
        yield found, document
    if WORD_GROUP in asked.units:
        yield in_groups(found, *spelling.grouped(spelled.vocabulary)), document


def _drawn_tokens(
    responses: pa.Table, number: Int[np.ndarray, " R"], tokenizer: Tokenizer
) -> tuple[spelling.Spelled, Documents, Int[np.ndarray, " R"]]:
    """The ids that were drawn, each response a document of its own: a text may be spelled in several ways."""
    lists = responses[TOKENS]
    ends = np.concatenate([[0], np.cumsum(pc.list_value_length(lists).to_numpy())])
    spelled = spelling.of_ids(pc.list_flatten(lists).to_numpy(), ends, tokenizer)
    order = np.argsort(number, kind="stable")
    return spelled, Documents(order, number[order]), np.argsort(order)


def _codes(parts: Sequence[Any], place: Mapping[Any, int]) -> Int[np.ndarray, " n"]:
    """Codes of a prompt's words or tokens, -1 for those that no text has."""
    return np.array([place.get(part, -1) for part in parts], np.int64)


def _check_known(spelled: spelling.Spelled, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer that has no tokens for what was written."""
    none = -1 if tokenizer.unknown_id is None else tokenizer.unknown_id
    unknown = np.flatnonzero(np.asarray(spelled.ids) == none)
    if not len(unknown) or not len(spelled.codes):
        return
    share = float((spelled.codes == unknown[0]).mean())
    if share > _MOST_UNKNOWN:
        raise ValueError(
            f"model: its tokenizer does not know {share:.1%} of what the responses are made of; name the model that "
            "wrote them, or take --units=word,word_group"
        )


def _check_test(pairs: Comparisons, asked: Statistics) -> None:
    """Refuse a choice of the exact test where none is made: arms that meet in prompts or trials have a sign test."""
    if asked.exact_test is not None and "response" not in pairs.units:
        units = " and ".join(dict.fromkeys(pairs.units))
        raise ValueError(
            f"exact_test: got {asked.exact_test}; arms are paired by {units} in every context, and few responses "
            "have a sign test then; leave it out"
        )


def _outcomes(
    responses: pa.Table, texts: DistinctTexts, menus: Sequence[Menu], menu: Int[np.ndarray, " R"]
) -> list[Outcome]:  # fmt: skip
    """Decisions under each parser, and as recorded where every response has one."""
    found = list(of_parsers(texts.texts, menus, texts.text, menu))
    names = responses.column_names
    if "action" not in names or responses["action"].null_count:
        return found
    actions = np.array(responses["action"].cast(pa.string()).to_pylist())
    valid = actions != INVALID
    if "valid" in names:
        valid &= pc.fill_null(responses["valid"], True).to_numpy(zero_copy_only=False)
    amounts = np.full(len(actions), np.nan)
    if "amount" in names:
        amounts = responses["amount"].to_numpy(zero_copy_only=False).astype(np.float64)
    return [*of_actions(RECORDED, actions, valid, amounts), *found]


def _about(responses: pa.Table, pairs: Comparisons, asked: Asked) -> dict[str, Any]:
    """What a reader must know beside the tables."""
    return {
        "responses": responses.num_rows, "comparisons": len(pairs.layer),
        "features": len(np.unique(pairs.layer.astype(np.int64) << 32 | pairs.feature)),
        "contrasts": list(pairs.contrasts), "arms_left_out": list(pairs.left_out),
        "contexts": {name: {"prompts": count, "unit": unit} for name, count, unit
                     in zip(pairs.contexts, pairs.prompts, pairs.units, strict=True)},
        "missing": len(pairs.missing), "missing_first": list(pairs.missing[:100]),
        "settings": dataclasses.asdict(asked), "sign": "patched less reference",
        "listed": LISTED,
    }  # fmt: skip
