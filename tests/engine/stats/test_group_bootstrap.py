"""Blocks hold whole groups, sums are those of their prompts, and intervals cover what they should."""

import numpy as np
import pytest

from causeway.engine.stats.group_bootstrap import BLOCKS, basic_interval, block_sums, blocks_of, resampled


@pytest.mark.parametrize("count", [5, 300])
def test_a_group_is_in_one_block_and_there_are_not_too_many(count):
    groups = [f"g{i % count}" for i in range(3 * count)]
    blocks = blocks_of(groups)
    assert len({(group, block) for group, block in zip(groups, blocks.tolist(), strict=True)}) == count
    assert sorted(set(blocks.tolist())) == list(range(min(count, BLOCKS)))
    assert blocks_of(groups[::-1])[::-1].tolist() == blocks.tolist()


def test_sums_of_blocks_are_those_of_their_prompts():
    values, blocks = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 4
    found = block_sums(values, blocks)
    np.testing.assert_allclose(found, [values[blocks == block].sum(axis=0) for block in range(4)])
    assert (resampled(4).sum(axis=1) == 4).all()


def test_few_blocks_and_quantities_that_are_not_above_0_have_no_interval():
    values = np.random.default_rng(0).lognormal(size=(400, 2))
    assert np.isfinite(basic_interval(np.ones(2), values, 8)).all()
    assert np.isnan(basic_interval(np.ones(2), values, 7)).all()
    assert np.isnan(basic_interval(np.array([0.0, np.nan]), values, 8)).all()


def test_intervals_of_a_ratio_of_means_cover_it_where_prompts_come_in_groups():
    hits = 0
    for seed in range(300):
        rng = np.random.default_rng((seed, 3))
        shared = np.repeat(rng.lognormal(0, 0.5, size=(40, 2)), 3, axis=0)
        x = shared * rng.lognormal(0, 0.3, size=(120, 2))
        blocks = blocks_of([f"g{i // 3}" for i in range(120)], seed)
        sums, weights = block_sums(x, blocks), resampled(40, seed)
        values = (weights @ sums[:, :1]) / (weights @ sums[:, 1:])
        low, high = basic_interval(np.array([x[:, 0].sum() / x[:, 1].sum()]), values, 40)
        hits += low[0] <= 1 <= high[0]
    assert 0.9 < hits / 300 < 0.985, hits
