"""What cannot mean what it says is refused when the sweep is made: before a file is written or a program compiled."""

import dataclasses

import numpy as np
import pytest

from causeway.engine.analyses.patch_sweep.arms import BASELINE
from causeway.engine.analyses.patch_sweep.design import FeatureSet
from causeway.engine.analyses.patch_sweep.settings import SweepSettings
from causeway.engine.model.sampling import Sampling
from causeway.engine.outcome.answers import Answer
from causeway.engine.outcome.parsers import match_tokens


@pytest.fixture
def prompt(tiny_sweep):
    return tiny_sweep.make_prompts(1)[0]


def features(layer, feature):
    return FeatureSet(np.array([layer]), np.array([feature]), {"safe": np.ones(1), "risky": np.ones(1)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": "both"}, "outcome: got 'both'; needs one of exact, sampled"),
        ({"form": "swap"}, "form: got 'swap'"),
        ({"semantics": "clean"}, "semantics: got 'clean'"),
        ({"rows": 0}, "rows: got 0; needs at least 1"),
        ({"unit_buckets": 0}, "unit_buckets: got 0"),
        ({"trials": 2}, "trials: got 2 with the exact outcome"),
        ({"semantics": "recomputed"}, "recomputed concerns generated tokens"),
        ({"parser": "v9"}, "parser: got 'v9'"),
        ({"outcome": "sampled", "trials": 30, "sampling": Sampling(0.0)}, "got 30 with greedy sampling"),
    ],
)
def test_settings(change, message, refuses):
    with refuses(message):
        SweepSettings(**{"outcome": "exact", "arms": (BASELINE,)} | change)


def test_features_without_a_dictionary(make_sweep, refuses, compilations):
    with compilations() as compiled:
        with refuses("layer"):
            make_sweep("exact", features=features(1, 0))
        with refuses("id 24 is outside the dictionary's 0..23"):
            make_sweep("exact", features=features(0, 24))
    assert not compiled


def test_prompts(make_sweep, tiny_sweep, prompt, refuses):
    with refuses("prompts: 2 with 1 distinct ids"):
        make_sweep("exact", prompts=(prompt, prompt))
    long = tiny_sweep.changed(prompt, tokens=tuple(range(8, 40)) * 2)
    with refuses("max_new_tokens: 4 after a prompt of 64 tokens exceeds the context of 64"):
        make_sweep("sampled", prompts=(long,))
    with refuses("answers: prompt 10 with its answers takes 65 tokens, but the context is 64"):
        make_sweep("exact", prompts=(long,))
    with refuses("positions:6' is outside a prompt of 5 tokens|'6' is outside a prompt of 5 tokens"):
        make_sweep("exact", prompts=tiny_sweep.make_prompts(4), scope="positions:6")


@pytest.mark.parametrize(
    ("answers", "tokens", "message"),
    [
        ((), (), "answers: prompt 10 has none"),
        ((("1", "a"), ("1 2", "b")), ((1,), (1, 2)), r"'1' begins '1 2'.*\(prompt 10\)"),
        ((("1", "a"), ("one", "b")), ((1,), (1,)), r"are the same tokens.*\(prompt 10\)"),
        ((("", "a"),), ((),), "'' has no tokens"),
        ((("1", "a"), ("2", "invalid")), ((1,), (2,)), "a label is 'invalid'"),
    ],
    ids=["none", "prefix", "same", "empty", "invalid"],
)
def test_answers(make_sweep, tiny_sweep, prompt, refuses, compilations, answers, tokens, message):
    wrong = tiny_sweep.changed(prompt, {"answers": tuple(Answer(*a) for a in answers)}, answer_tokens=tokens)
    with compilations() as compiled, refuses(message):
        make_sweep("exact", prompts=(wrong,))
    assert not compiled


def test_prompts_of_other_labels(make_sweep, tiny_sweep, refuses):
    one, two = tiny_sweep.make_prompts(2)
    other = tuple(dataclasses.replace(a, label=f"{a.label}s") for a in two.record.answers)
    with refuses("answers: prompts differ in their labels"):
        make_sweep("exact", prompts=(one, tiny_sweep.changed(two, {"answers": other})))


def test_answers_that_begin_one_another_are_told_apart_in_rollouts_by_the_longest(make_sweep, tiny_sweep, prompt):
    nested, tokens = (Answer("1", "a"), Answer("1 2", "b")), ((1,), (1, 2))
    sweep = make_sweep("sampled", prompts=(tiny_sweep.changed(prompt, {"answers": nested}, answer_tokens=tokens),))
    assert sweep.prompts[0].record.answers == nested
    assert [match_tokens(ids, nested, tokens).action for ids in ((1, 2, 3), (1, 3), (2,))] == ["b", "a", "invalid"]


def test_recomputed_semantics_before_the_last_prompt_token(make_sweep, refuses):
    with refuses("semantics: recomputed with scope 'all', which edits position 0 of prompt 10"):
        make_sweep("sampled", semantics="recomputed", scope="all")
