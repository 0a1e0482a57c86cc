"""Plans told from shapes: calls are those of the sweep, and cost grows with what is asked."""

import math

import jax
import numpy as np
import pytest

from causeway.engine import memory
from causeway.engine.analyses.patch_sweep import run
from causeway.engine.analyses.patch_sweep.cost import (
    EXACT_ROW_SECONDS,
    known_lengths,
    pilots,
    program_calls,
    programs,
)
from causeway.engine.model.sampling import Sampling
from causeway.engine.sweep.cost import Runs, program_flops


def total(sweep):
    """Operations and calls of a whole plan."""
    calls = list(program_calls(sweep))
    return sum(call.cost.flops * call.count for call in calls), [call.count for call in calls]


def test_exact_calls_are_buckets_of_one_layer(make_sweep):
    sweep = make_sweep("exact", ("baseline", "noop", "patch"))
    flops, counts = total(sweep)
    # Three features and two arms of each layer, and its no-op, in buckets of 8, for each of four prompts.
    assert counts == [4 * math.ceil(7 / 8)] * 2
    assert flops > 0


def test_a_patch_of_a_lower_layer_costs_more(make_sweep):
    lower, upper = (call.cost.flops for call in program_calls(make_sweep("exact", ("patch",))))
    assert lower > 2 * upper


def test_layers_written_out_for_a_card_take_the_operations_of_the_loop(make_sweep):
    sweep = make_sweep("exact", ("patch",))
    loop, written_out = (
        [program_flops(one.function, *one.arguments, runs=Runs(one.trips, one.taken)) for one in programs(sweep, card)]
        for card in (False, True)
    )
    assert written_out == pytest.approx(loop)


def test_of_rollouts_on_a_host_all_weights_are_there_already(make_sweep):
    sweep = make_sweep("sampled", ("patch",), segments=(2,))
    cost = next(program_calls(sweep)).cost
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves((sweep.model.transformer, sweep.stack)))
    assert cost.memory_bytes > cost.resident_bytes >= weights


def test_more_features_and_prompts_cost_in_proportion(make_sweep, tiny_sweep):
    one = total(make_sweep("exact", ("patch",), prompts=tiny_sweep.make_prompts(4)))[0]
    three = total(make_sweep("exact", ("patch",), prompts=tiny_sweep.make_prompts(12)))[0]
    assert three == pytest.approx(3 * one)


def test_rollouts_cost_their_tokens_and_their_records(make_sweep):
    short, counts = total(make_sweep("sampled", ("patch",), segments=(2,)))
    assert counts == [4 * math.ceil(6 * 2 * 2 / 8)]
    long, counts = total(make_sweep("sampled", ("patch",), segments=(2, 2)))
    assert len(counts) == 2
    assert long > 1.9 * short
    recorded = total(make_sweep("sampled", ("patch",), segments=(2,), record="all"))[0]
    assert recorded > short


def test_rollouts_that_may_end_early_cost_at_most(make_sweep):
    """Unless rows like theirs tell how many reach a segment, or nothing can end them."""
    sweep = make_sweep("sampled", ("patch",), segments=(2, 2))
    assert [one.later for one in programs(sweep)] == [False, True]
    known = list(programs(sweep, lengths=np.array([1, 2, 2, 3])))
    assert [one.later for one in known] == [False, False]
    assert [one.calls for one in known] == [4 * math.ceil(24 / 8), 4 * math.ceil(24 / 4 / 8)]
    assert not any(one.later for one in programs(make_sweep("sampled", ("patch",), sampling=Sampling(1.0))))


@pytest.mark.slow
def test_finished_rows_tell_how_long_others_are(make_sweep, tmp_path):
    sweep = make_sweep("sampled", ("patch",), segments=(2, 2))
    assert known_lengths(tmp_path, sweep.plan) is None
    assert "at most, no row ending early" in run.estimate(sweep, tmp_path, "abstract").text()
    run.run(sweep, tmp_path)
    lengths = known_lengths(tmp_path, sweep.plan)
    assert len(lengths) == sweep.plan.rows
    assert set(lengths) <= {1, 2, 3, 4}
    assert known_lengths(tmp_path, make_sweep("sampled", ("patch",), segments=(2,)).plan) is None
    found = run.estimate(sweep, tmp_path, "abstract")
    assert found.least_seconds is None
    assert "at most" not in found.text()


@pytest.mark.slow
@pytest.mark.parametrize("basis", ["abstract", "measured"])
def test_an_estimate_leaves_no_file_behind(make_sweep, tiny_sweep, tmp_path, basis):
    sweep = make_sweep("exact", ("baseline", "patch"), prompts=tiny_sweep.make_prompts(2))
    estimate = run.estimate(sweep, tmp_path / "run", basis)
    assert (estimate.units, estimate.rows) == (sweep.plan.units, 2 * len(sweep.rows))
    assert estimate.seconds > 0
    assert estimate.memory_bytes > 0
    assert estimate.disk_bytes > 0
    assert basis in estimate.text()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_plan_that_does_not_fit_says_which_bucket_would(make_sweep, tmp_path, monkeypatch):
    sweep = make_sweep("exact", ("baseline", "patch"))
    there = memory.memory_there_bytes()
    monkeypatch.setattr(memory, "memory_there_bytes", lambda: 1000)
    found = run.estimate(sweep, tmp_path / "run", "abstract")
    assert not found.fits
    assert "of 1e-06 GB there" in found.text()
    assert "no row bucket would fit" in found.text()
    monkeypatch.setattr(memory, "memory_there_bytes", lambda: there)
    assert run.estimate(sweep, tmp_path / "run", "abstract").fits


def test_a_baseline_alone_can_be_estimated(make_sweep, tmp_path):
    sweep = make_sweep("exact", ("baseline",))
    host = sweep.plan.rows * EXACT_ROW_SECONDS
    assert run.estimate(sweep, tmp_path / "run", "abstract").seconds == pytest.approx(host)


def test_pilots_stand_for_every_row_once(make_sweep):
    sweep = make_sweep("exact", ("baseline", "noop", "patch"), rows=4, unit_buckets=1)
    found = pilots(sweep)
    assert sum(pilot.rows for pilot in found) == sweep.plan.rows
    assert all(0 <= unit < sweep.plan.units for pilot in found for unit in (pilot.first, pilot.timed))
    # The prompts' first units, where the lowest layer is edited and most layers are run, are among them.
    assert {0, sweep.prompt_units} & {pilot.first for pilot in found}
