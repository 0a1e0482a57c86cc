"""A row's bytes are a function of the row and the plan: not of devices, of how rows are spread, of units or order."""

import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest

from causeway.engine.analyses.patch_sweep.exact_units import exact_unit
from causeway.engine.analyses.patch_sweep.sampled_units import sampled_unit

UNITS = {"exact": exact_unit, "sampled": sampled_unit}
KINDS = ("baseline", "noop", "patch", "random")
# Probabilities of two row buckets that round their products otherwise.
ACROSS_WIDTHS = 2e-6


@pytest.fixture(scope="module")
def compute(tiny_sweep, transformer, dictionary):
    """Plan and columns of a sweep of two prompts, computed once for the same settings."""

    @functools.cache
    def made(outcome, form="delta", order=None, **settings):
        record = {"record": "top:3", "top_logits": 2} if outcome == "sampled" else {}
        sweep = tiny_sweep.make_sweep(
            transformer, dictionary, outcome, KINDS, form=form, prompts=tiny_sweep.make_prompts(2), **record | settings
        )
        return sweep.plan, tiny_sweep.stacked(sweep, UNITS[outcome], order)

    return made


FAST = {("exact", "delta", 2, "pmap"), ("exact", "replace", 4, "shard_map"), ("sampled", "delta", 4, "pmap")}
GRID = itertools.product(("exact", "sampled"), ("delta", "replace"), (1, 2, 4), ("shard_map", "pmap"))


@pytest.mark.parametrize(
    ("outcome", "form", "devices", "parallel"),
    [pytest.param(*case, marks=() if case in FAST else pytest.mark.slow) for case in GRID],
)
def test_devices_do_not_change_a_bit(compute, tiny_sweep, outcome, form, devices, parallel):
    plan, one = compute(outcome, form)
    other, several = compute(outcome, form, devices=devices, parallel=parallel)
    assert plan.fingerprint == other.fingerprint
    assert tiny_sweep.same_bits(one, several)


@pytest.mark.parametrize("outcome", ["exact", "sampled"])
def test_the_order_of_computing_does_not_change_a_bit(compute, tiny_sweep, outcome):
    plan, forward = compute(outcome)
    backward = compute(outcome, order=tuple(reversed(range(plan.units))))[1]
    assert tiny_sweep.same_bits(forward, backward)


@pytest.mark.parametrize("outcome", ["exact", "sampled"])
def test_the_size_of_units_changes_the_plan_and_no_bit_of_a_row(compute, tiny_sweep, outcome):
    plan, two = compute(outcome)
    other, one = compute(outcome, unit_buckets=1)
    assert other.units > plan.units
    assert other.fingerprint != plan.fingerprint
    # Where a row's records lie is the one thing that the size of units decides.
    two, one = (({k: v for k, v in got[0].items() if k != "array_row"}, got[1]) for got in (two, one))
    assert tiny_sweep.same_bits(two, one)


def test_another_row_bucket_is_another_plan_and_equal_within_rounding(compute):
    plan, (eight, _) = compute("exact")
    other, (five, _) = compute("exact", rows=5)
    assert other.fingerprint != plan.fingerprint
    for name in ("p_stop", "p_bet", "p_other"):
        np.testing.assert_allclose(eight[name].astype(float), five[name].astype(float), atol=ACROSS_WIDTHS)


def test_the_comparison_sees_a_single_bit(compute, tiny_sweep):
    columns, arrays = compute("sampled")[1]
    changed = arrays["values"].copy()
    changed.reshape(-1).view(np.uint32)[7] ^= 1
    assert not tiny_sweep.same_bits((columns, arrays), (columns, arrays | {"values": changed}))
    columns, arrays = compute("exact")[1]
    value = np.nextafter(columns["p_stop"][3], 1)
    other = columns | {"p_stop": np.array([*columns["p_stop"][:3], value, *columns["p_stop"][4:]], object)}
    assert not tiny_sweep.same_bits((columns, arrays), (other, arrays))


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"scope": "last_prompt"}, {"form": "replace"}, {"doses": (0.75,)}, {"draws": 2}],
    ids=lambda change: next(iter(change)),
)
def test_whatever_decides_a_number_is_in_the_fingerprint(make_sweep, change):
    assert make_sweep(**change).plan.fingerprint != make_sweep().plan.fingerprint


def test_devices_and_names_of_prompts_values_are_where_they_belong(make_sweep, tiny_sweep):
    plain = make_sweep().plan.fingerprint
    assert make_sweep(devices=4, parallel="pmap").plan.fingerprint == plain
    one, *rest = tiny_sweep.make_prompts()
    other = tiny_sweep.changed(one, {"group": "calm"})
    assert make_sweep(prompts=(other, *rest)).plan.fingerprint != plain
    values = make_sweep().features
    renamed = type(values)(values.layer, values.feature, dict(zip(("a", "b"), values.values.values(), strict=True)))
    assert make_sweep("exact", ("baseline", "ablate"), features=renamed).plan.fingerprint != (
        make_sweep("exact", ("baseline", "ablate")).plan.fingerprint
    )


def test_content_decides_and_not_where_the_model_lay(make_sweep):
    sweep = make_sweep()
    moved = dataclasses.replace(sweep, model=dataclasses.replace(sweep.model, name="elsewhere/tiny"))
    assert moved.plan.fingerprint == sweep.plan.fingerprint
    assert moved.plan.about == {"model": "elsewhere/tiny"}


def test_a_plan_is_made_once(make_sweep):
    sweep = make_sweep()
    assert sweep.plan is sweep.plan


def test_weights_are_placed_once_on_all_devices(make_sweep):
    sweep = make_sweep(devices=4)
    for leaf in jax.tree.leaves(sweep.placed):
        assert leaf.sharding.device_set == set(sweep.parallel.devices)
        assert leaf.is_fully_replicated
