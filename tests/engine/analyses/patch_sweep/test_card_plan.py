"""A plan for a card tells the widest buckets that fit, and the time that they take at least."""

import dataclasses

import numpy as np
import pytest

from causeway.engine.analyses.patch_sweep import run
from causeway.engine.analyses.patch_sweep.card_plan import USABLE, Target, card_plan
from causeway.engine.bench.compile.cards import CARDS


def plan_with(sweep, memory):
    """From shapes, on a card of so many bytes."""
    return card_plan(sweep, Target(dataclasses.replace(CARDS["a40"], memory=memory), compiled=False))


def test_all_rows_of_a_prompt_fit_a_large_card(make_sweep, tmp_path):
    sweep = make_sweep("exact", ("baseline", "noop", "patch"))
    found = run.estimate(sweep, tmp_path / "run", "abstract", Target(CARDS["a40"], compiled=False))
    assert found.asked.rows == sweep.settings.rows
    assert found.widest.rows / 2 < len(sweep.rows) <= found.widest.rows
    for word in ("NVIDIA A40", f"{found.asked.rows} rows", "fits", "75% of 48 GB", "CPU compiler"):
        assert word in found.text()
    assert not list(tmp_path.iterdir())


def test_a_small_card_takes_what_fits(make_sweep):
    sweep = make_sweep("exact", ("baseline", "noop", "patch"))
    wide = plan_with(sweep, 1e9)
    room = (plan_with(sweep, 1e9).asked.memory + wide.widest.memory) / 2
    found = plan_with(sweep, room / USABLE)
    assert found.widest.memory <= room
    assert found.widest.rows < wide.widest.rows
    nothing = plan_with(sweep, 1000)
    assert nothing.widest is None
    assert "not even one row fits" in nothing.text()


@pytest.mark.slow
@pytest.mark.parametrize("outcome", ["exact", "sampled"])
def test_time_is_of_all_calls(make_sweep, tiny_sweep, outcome):
    few, many = (make_sweep(outcome, ("patch",), prompts=tiny_sweep.make_prompts(count)) for count in (4, 12))
    assert plan_with(many, 1e9).asked.seconds == pytest.approx(3 * plan_with(few, 1e9).asked.seconds)


def test_rollouts_on_a_card_take_from_a_first_segment_to_all_of_them(make_sweep):
    sweep = make_sweep("sampled", ("patch",), segments=(2, 2))
    found = plan_with(sweep, 1e9).asked
    assert 0 < found.least_seconds < found.seconds
    assert "or more, no row ending early" in found.text(CARDS["a40"])
    known = card_plan(sweep, Target(CARDS["a40"], compiled=False), np.array([1, 1])).asked
    assert known.least_seconds is None
    assert known.seconds < found.seconds
