"""Representative prompts: the median ones of each group where activations are known, a fixed deal where not."""

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.select.sample import BY_ACTIVATION, BY_HASH, aligned, numbered, representative
from causeway.engine.prompt_record import PromptRecord

GROUPS = ["safe", "risky"] * 10
IDS = [f"p{i}" for i in range(20)]
NAMES = ["L1-5", "L2-7", "L9-456"]


def test_groups_take_turns_and_no_prompt_comes_twice():
    for each in (1, 2, 3, 4, 20):
        chosen, how = representative(NAMES, IDS, GROUPS, each)
        assert how == [BY_HASH] * 3
        for own in chosen:
            labels = [GROUPS[i] for i in own]
            assert len(own) == len(set(own.tolist())) == each
            assert abs(labels.count("safe") - labels.count("risky")) <= 1


def test_prompts_are_those_nearest_to_the_median_of_their_group():
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(3, 20))
    chosen, how = representative(NAMES, IDS, GROUPS, 4, values)
    assert how == [BY_ACTIVATION] * 3
    for own, row in zip(chosen, values, strict=True):
        for group in ("safe", "risky"):
            members = [i for i in range(20) if GROUPS[i] == group]
            far = {i: abs(row[i] - np.median(row[members])) for i in members}
            assert set(sorted(members, key=far.get)[:2]) == {i for i in own.tolist() if GROUPS[i] == group}


def test_a_feature_without_activations_is_dealt_by_hash_and_prompts_without_come_last():
    values = np.full((3, 20), np.nan)
    values[1, :4] = [1.0, 2.0, 3.0, 4.0]
    chosen, how = representative(NAMES, IDS, GROUPS, 4, values)
    assert how == [BY_HASH, BY_ACTIVATION, BY_HASH]
    assert set(chosen[1].tolist()) == {0, 1, 2, 3}
    assert chosen[0].tolist() == representative(NAMES, IDS, GROUPS, 4)[0][0].tolist()


def test_a_deal_depends_on_feature_prompt_and_seed_alone():
    one, _ = representative(NAMES, IDS, GROUPS, 4)
    order = np.random.default_rng(1).permutation(20)
    other, _ = representative(NAMES[:1], [IDS[i] for i in order], [GROUPS[i] for i in order], 4)
    assert {IDS[i] for i in one[0]} == {IDS[order[i]] for i in other[0]}
    assert {IDS[i] for i in one[0]} != {IDS[i] for i in one[1]}
    assert {IDS[i] for i in one[0]} != {IDS[i] for i in representative(NAMES, IDS, GROUPS, 4, seed=1)[0][0]}


def test_activations_are_put_where_their_feature_and_prompt_are():
    table = pa.table({"layer": [1, 2, 2, 8], "feature": [5, 7, 7, 1], "prompt": ["0", "1", "5", "0"],
                      "activation": [0.5, 1.5, 9.0, 3.0]})  # fmt: skip
    features = pa.table({"layer": [2, 1], "feature": [7, 5]})
    found = aligned(table, features, ["1", None, "0"])
    np.testing.assert_array_equal(found, [[1.5, np.nan, np.nan], [np.nan, np.nan, 0.5]])


def test_prompts_are_known_again_by_tokens_or_text():
    known = [PromptRecord("a", id="0", tokens=(1, 2)), PromptRecord("b", id="1", tokens=(3,))]
    records = [PromptRecord("b"), PromptRecord("", tokens=(1, 2)), PromptRecord("c"), PromptRecord("a", tokens=(7,))]
    assert numbered(records, known) == ["1", "0", None, "0"]


def test_no_prompts_are_refused():
    with pytest.raises(ValueError, match="prompts: none"):
        representative(NAMES, [], [], 2)
