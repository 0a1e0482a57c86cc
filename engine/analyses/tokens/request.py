"""`cw.tokens`: which tokens and words features add and remove, asked for in a notebook."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.trial_axes import EVERY
from causeway.engine.analyses.prompts.sets import slot_published
from causeway.engine.analyses.tokens.associations import Statistics
from causeway.engine.analyses.tokens.tokens import TOKEN, UNITS, Asked, TokenEffects, find_tokens
from causeway.engine.earlier_results import EarlierResults, feature_name
from causeway.engine.model.handle import Model
from causeway.engine.model.text import Tokenizer
from causeway.engine.outcome.parsers import OF_TEXTS
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.stats.multiple import METHODS

EXACT_TESTS = ("fisher", "mid_p", "boschloo")
REFERENCES = ("baseline", "noop")


def tokens(
    results: EarlierResults,
    model: Model | None = None,
    *,
    prompts: Sequence[PromptRecord] | None = None,
    features: pa.Table | None = None,
    units: Sequence[str] | None = None,
    reference: str | None = None,
    min_count: int = 5,
    prior: float = 1.0,
    exact_test: str | None = None,
    echo: int = 5,
    until_decision: str = "",
    correction: str = "bh",
) -> TokenEffects:
    """Which tokens and words each feature adds to what a model writes, or removes, and which decisions it moves.

    Args:
        results: of `cw.read_earlier`.
        model: that wrote the responses, for its tokenizer; None: words alone.
        prompts: the prompts' records, so that what repeats them is left out and their menus are known; None: the
            published study's two.
        features: a table with columns layer and feature; None: all.
        units: of token, word, word_group; None: all there can be.
        reference: baseline or noop; None: the no-op where there is one.
        min_count: responses of both arms together that a word is in, at least.
        prior: responses of the mean length that the prior of the log odds counts as.
        exact_test: fisher (which None is), mid_p or boschloo, where few responses hold a word and arms are independent.
        echo: words of the shortest run that repeats the prompt and is left out; 0 for none.
        until_decision: a parser (three_state, v1, v2, v3): texts are cut behind what decided; "" for whole texts.
        correction: bh, or by for any dependence.

    Returns:
        Tables of words and of outcomes, patched less reference, with intervals, p and q.

    Raises:
        ValueError: no sampled responses, nothing to compare, or an argument that is none.
    """
    if not isinstance(results, EarlierResults):
        raise ValueError(f"results: got {scalars.shown(results)}; needs what cw.read_earlier gives")
    if model is not None and not isinstance(model, Model):
        raise ValueError(f"model: got {scalars.shown(model)}; needs what load_model returns, or None")
    if prompts is not None and not (
        isinstance(prompts, list | tuple) and all(isinstance(record, PromptRecord) for record in prompts)
    ):
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs a list of prompt records")
    wanted = asked(
        units=units, tokens=model is not None, reference=reference, min_count=min_count, prior=prior,
        exact_test=exact_test, echo=echo, until_decision=until_decision, correction=correction,
    )  # fmt: skip
    return of_results(chosen(results, features), wanted, model.tokenizer if model else None, prompts)


def asked(
    *, units: Sequence[str] | None, tokens: bool, reference: str | None, min_count: int, prior: float,
    exact_test: str | None, echo: int, until_decision: str, correction: str,
) -> Asked:  # fmt: skip
    """What is asked, checked.

    Args:
        tokens: whether there is a tokenizer.

    Raises:
        ValueError: naming the argument.
    """
    if units is not None and (isinstance(units, str) or not isinstance(units, list | tuple)):
        raise ValueError(f"units: got {scalars.shown(units)}; needs a list of {', '.join(UNITS)}")
    taken = UNITS[0 if tokens else 1 :] if units is None else tuple(units)
    if not taken or (unknown := [unit for unit in taken if unit not in UNITS]):
        raise ValueError(f"units: got {scalars.shown(unknown[0] if taken else [])}; needs some of {', '.join(UNITS)}")
    if TOKEN in taken and not tokens:
        raise ValueError("units: got token without a model; name the model, whose tokens they are, or leave it out")
    for name, value, known in (
        ("reference", reference, (None, *REFERENCES)), ("exact_test", exact_test, (None, *EXACT_TESTS)),
        ("until_decision", until_decision, ("", *OF_TEXTS)), ("correction", correction, METHODS),
    ):  # fmt: skip
        if not isinstance(value, str | None) or value not in known:
            raise ValueError(f"{name}: got {scalars.shown(value)}; needs one of {', '.join(filter(None, known))}")
    statistics = Statistics(
        scalars.integer(min_count, "min_count", 1), scalars.real(prior, "prior", 0.0), cast(Any, exact_test),
        cast(Any, correction),
    )  # fmt: skip
    return Asked(taken, reference, False, scalars.integer(echo, "echo"), until_decision, statistics)


def chosen(results: EarlierResults, features: pa.Table | None) -> EarlierResults:
    """Results with the responses of some features alone, and of those that stand for every feature.

    Raises:
        ValueError: no table of features, or none of them has responses.
    """
    if features is None:
        return results
    if not isinstance(features, pa.Table) or not {"layer", "feature"} <= set(features.column_names):
        raise ValueError(f"features: got {scalars.shown(features)}; needs a table with columns layer and feature")
    wanted = {(row["layer"], row["feature"]) for row in features.select(["layer", "feature"]).to_pylist()}
    layer, feature = (results.responses[name].to_numpy().astype(np.int64) for name in ("layer", "feature"))
    keys = np.array(sorted((one << 32) | two for one, two in wanted), np.int64)
    mine = np.isin((layer << 32) | feature, keys)
    if not mine.any():
        raise ValueError(
            f"features: none of {len(wanted)} has responses in the results; give features of the same study"
        )
    return dataclasses.replace(results, responses=results.responses.filter(pa.array(mine | (feature == EVERY))))


def of_results(
    results: EarlierResults, wanted: Asked, tokenizer: Tokenizer | None, records: Sequence[PromptRecord] | None
) -> TokenEffects:
    """`find_tokens` of a study's results: trials of a sweep of ours share random numbers, a study's do not.

    Args:
        records: the prompts'; None: those of the published study, where the results are its.

    Raises:
        ValueError: see `find_tokens`; or none of the records is a prompt of the results.
    """
    ours = results.kind == "patch_sweep"
    made = results.about.get("tokenizer")
    if tokenizer is not None and made and made != tokenizer.fingerprint:
        raise ValueError("model: its tokenizer is not that of the model that wrote the responses; name that model")
    known = _known(results, records) if records is not None else {}
    texts = {name: record.text for name, record in known.items() if record.text}
    found = find_tokens(
        results.responses, dataclasses.replace(wanted, shared_noise=ours), tokenizer,
        texts if records is not None or ours else _published(),
        {name: record.answers for name, record in known.items()} if ours else None,
    )  # fmt: skip
    about: dict[str, Any] = {}
    for name, pairs in one_sided(results).items():
        about |= {name: len(pairs), f"{name}_first": pairs[:100]}
    return dataclasses.replace(found, about={**found.about, **about})


def _published() -> dict[str, str]:
    """The published study's prompts, by their contexts."""
    both = slot_published.candidates(np.random.default_rng(0), 2)
    return {one.balance: one.prompt for one in both}


def _known(results: EarlierResults, records: Sequence[PromptRecord]) -> Mapping[str, PromptRecord]:
    """Records of the prompts of results: by id, by place in the file as a sweep numbers them, or by group."""
    names = set(pc.unique(results.responses["prompt"].cast(pa.string())).to_pylist())
    groups = [record.group for record in records]
    found = {group: record for group, record in zip(groups, records, strict=True) if groups.count(group) == 1}
    found |= {str(place): record for place, record in enumerate(records) if not record.id.isdecimal()}
    found |= {record.id: record for record in records if record.id}
    known = {name: record for name, record in found.items() if name in names}
    if names and not known:
        raise ValueError(
            f"prompts: none of {len(records)} is a prompt of the results, which are named "
            f"{', '.join(sorted(names)[:3])}...; give the file that was run"
        )
    return known


def _pairs(table: pa.Table) -> set[tuple[int, int]]:
    distinct = table.select(["layer", "feature"]).group_by(["layer", "feature"]).aggregate([]).to_pylist()
    return {(row["layer"], row["feature"]) for row in distinct if row["feature"] != EVERY}


def one_sided(results: EarlierResults) -> dict[str, list[str]]:
    """Names of features that were decided and have no responses, and of those with responses that were not decided."""
    decided, answered = _pairs(results.features), _pairs(results.responses)
    return {
        "decided_without_responses": [feature_name(*pair) for pair in sorted(decided - answered)],
        "responses_undecided": [feature_name(*pair) for pair in sorted(answered - decided)],
    }
