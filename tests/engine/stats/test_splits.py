"""Prompts held out follow their ids: the order has no say, and one more prompt moves one other at most."""

import numpy as np
import pytest

from causeway.engine.stats.splits import folds, held_out


def test_one_more_prompt_moves_one_other_at_most():
    ids = [f"prompt-{i}" for i in range(40)]
    for share in (0.25, 0.5):
        sides = dict(zip(ids, held_out(ids, share, 1).tolist(), strict=True))
        more = dict(zip(["new", *ids], held_out(["new", *ids], share, 1).tolist(), strict=True))
        assert sum(sides[i] != more[i] for i in ids) <= 1
        assert abs(sum(more.values()) - share * 41) <= 0.5


def test_the_order_has_no_say_and_the_seed_has():
    ids = list(range(30))
    mask = held_out(ids, 0.5, 3)
    np.testing.assert_array_equal(held_out(ids[::-1], 0.5, 3), mask[::-1])
    assert (held_out(ids, 0.5, 4) != mask).any()


def test_folds_are_of_one_size_within_each_stratum_and_follow_the_ids_alone():
    ids = [f"group-{i}" for i in range(23)]
    strata = ["rare" if i < 6 else "common" for i in range(23)]
    found = folds(ids, 4, strata, seed=1)
    for of in ("rare", "common"):
        counts = np.bincount(found[[s == of for s in strata]], minlength=4)
        assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(folds(ids[::-1], 4, strata[::-1], seed=1), found[::-1])
    assert (folds(ids, 4, strata, seed=2) != found).any()
    with pytest.raises(ValueError, match="folds: got 4 of 3; needs two or more, and one id each at least"):
        folds(ids[:3], 4)
