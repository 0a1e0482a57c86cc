"""Estimates: operations by hand, loops counted, disk and time of a pilot unit."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from causeway.engine.sweep.cost import ProgramCost, Runs, program_cost, program_flops
from causeway.engine.sweep.estimate import Call, Overhead, Pilot, estimate_abstract, estimate_measured
from causeway.engine.sweep.guard import DiskGuard, Usage


def chain(x, weights):
    return jax.lax.scan(lambda carry, weight: (jnp.tanh(carry @ weight), None), x, weights)[0]


X, WEIGHTS = jax.ShapeDtypeStruct((16, 64), jnp.float32), jax.ShapeDtypeStruct((8, 64, 64), jnp.float32)
ONE_PRODUCT = 2 * 16 * 64 * 64


def test_a_scan_costs_all_its_steps():
    cost = program_cost(jax.jit(chain), X, WEIGHTS)
    assert cost.flops == 8 * ONE_PRODUCT
    assert cost.memory_bytes >= 4 * (8 * 64 * 64 + 2 * 16 * 64)


def test_loops_and_branches():
    def loop(x, weight, trips):
        return jax.lax.fori_loop(0, trips, lambda _, carry: carry @ weight, x)

    def branch(x, weights, flag):
        return jax.lax.cond(flag, lambda: chain(x, weights), lambda: x)

    weight, trips = jax.ShapeDtypeStruct((64, 64), jnp.float32), jax.ShapeDtypeStruct((), jnp.int32)
    assert program_cost(jax.jit(loop), X, weight, trips, runs=Runs(5)).flops == 5 * ONE_PRODUCT
    flag = jax.ShapeDtypeStruct((), jnp.bool_)
    assert program_cost(jax.jit(jax.jit(branch)), X, WEIGHTS, flag).flops == 8 * ONE_PRODUCT
    assert program_cost(jax.jit(branch), X, WEIGHTS, flag, runs=Runs(taken=0.25)).flops == 2 * ONE_PRODUCT


def test_batched_product():
    a, b = jax.ShapeDtypeStruct((3, 4, 5), jnp.float32), jax.ShapeDtypeStruct((3, 5, 7), jnp.float32)
    assert program_cost(jax.jit(lambda a, b: a @ b), a, b).flops == 2 * 3 * 4 * 5 * 7


def test_abstract(toy):
    plan = toy.make_plan()
    calls = [Call(ProgramCost(10**9, 5 * 10**8), 6), Call(ProgramCost(10**8, 10**9), 10)]
    estimate = estimate_abstract(plan, calls, flops_per_second=10**9)
    assert estimate.seconds == pytest.approx(7.0)
    assert estimate.memory_bytes == 10**9
    # 3*5 floats and one int32 per row; 8 + 4 bytes of numbers and one text cell, per unit and merged.
    assert estimate.disk_bytes == plan.rows * (4 * 15 + 4 + 2 * (8 + 4 + 32))
    text = estimate.text()
    assert all(part in text for part in ("toy", "21", "0:00:07", "1 GB", "abstract"))
    assert "unknown" in estimate_abstract(plan, calls).text()
    assert len(text.splitlines()) < 20


def test_what_there_is_beside_products_counts(toy):
    calls = [Call(ProgramCost(10**9, 1, 0, 2.0), 6), Call(ProgramCost(10**9, 1, 0, 1.0), 4)]
    found = estimate_abstract(toy.make_plan(), calls, flops_per_second=10**9, overhead=Overhead(2.0, 0.1, 0.5))
    assert found.seconds == pytest.approx(2 * 3 + 0.1 * 21 + 10 / 0.5)
    assert "6 s to compile" in found.text()


def test_a_choice_of_platform_is_no_conditional():
    """Its branch runs however few conditionals take theirs."""
    chosen = jax.jit(lambda a: jax.lax.platform_dependent(a, cpu=lambda a: a @ a, default=lambda a: a))
    assert program_flops(chosen, jnp.ones((8, 8)), runs=Runs(taken=0.5)) == 2 * 8**3


def test_calls_that_rows_may_not_reach_make_a_time_at_most(toy):
    calls = [Call(ProgramCost(10**9, 1, 0, 1.0), 6), Call(ProgramCost(10**9, 1, 0, 2.0), 60, later=True)]
    found = estimate_abstract(toy.make_plan(), calls, flops_per_second=10**9, overhead=Overhead(1.0))
    assert (found.seconds, found.least_seconds) == (3 + 66, 1 + 6)
    assert "0:01:09 at most, no row ending early; 0:00:07 if all end at once" in found.text()
    assert estimate_abstract(toy.make_plan(), calls).least_seconds is None


@pytest.mark.slow
def test_where_programs_are_kept_a_run_pays_for_loading_them(toy, tmp_path, monkeypatch):
    plan, now, seconds = toy.make_plan(unit_rows=(4,) * 10), [0.0], iter([9.0, 3.0, 1.0])

    def compute(unit):
        now[0] += next(seconds)
        return toy.make_result(plan, unit)

    monkeypatch.setattr("causeway.engine.sweep.estimate.programs_are_kept", lambda: True)
    monkeypatch.setattr("causeway.engine.sweep.estimate.time", SimpleNamespace(monotonic=lambda: now[0]))
    assert estimate_measured(plan, compute, tmp_path, [Pilot(0, 1, 40)]).seconds == pytest.approx((3 - 1) + 10.0)


def test_host_memory_counts_the_process_and_what_a_program_adds(toy, monkeypatch):
    monkeypatch.setattr("causeway.engine.sweep.estimate.peak_memory_bytes", lambda: 6 * 10**8)
    calls = [Call(ProgramCost(1, 5 * 10**8, 4 * 10**8), 6), Call(ProgramCost(1, 3 * 10**8), 10)]
    assert estimate_abstract(toy.make_plan(), calls, in_host_memory=True).memory_bytes == 9 * 10**8
    assert estimate_abstract(toy.make_plan(), calls).memory_bytes == 5 * 10**8
    resident = jnp.ones((64, 64))
    cost = program_cost(jax.jit(lambda a, b: a @ b), resident, jax.ShapeDtypeStruct((64, 64), jnp.float32))
    assert cost.resident_bytes == resident.nbytes


def test_measured(toy, tmp_path, monkeypatch):
    plan = toy.make_plan(unit_rows=(4,) * 1000)
    seconds = iter([0.25, 0.05])  # the first run compiles
    now = [0.0]

    def compute(unit):
        now[0] += next(seconds)
        return toy.make_result(plan, unit)

    monkeypatch.setattr("causeway.engine.sweep.estimate.programs_are_kept", lambda: False)
    monkeypatch.setattr("causeway.engine.sweep.estimate.time", SimpleNamespace(monotonic=lambda: now[0]))
    estimate = estimate_measured(plan, compute, tmp_path, [Pilot(0, 1, 4000)])
    assert estimate.basis == "measured"
    assert estimate.seconds == pytest.approx(0.2 + 0.05 * 1000)
    assert estimate.disk_bytes > 1000 * 200
    assert estimate.memory_bytes > 10**7
    assert list(tmp_path.iterdir()) == []


def test_each_kind_of_unit_has_its_own_pace_and_compilation(toy, tmp_path, monkeypatch):
    plan, now, seconds = toy.make_plan(unit_rows=(4,) * 10), [0.0], {0: 3.0, 1: 1.0, 8: 9.0, 9: 5.0}

    def compute(unit):
        now[0] += seconds[unit]
        return toy.make_result(plan, unit)

    monkeypatch.setattr("causeway.engine.sweep.estimate.programs_are_kept", lambda: False)
    monkeypatch.setattr("causeway.engine.sweep.estimate.time", SimpleNamespace(monotonic=lambda: now[0]))
    estimate = estimate_measured(plan, compute, tmp_path, [Pilot(0, 1, 32), Pilot(8, 9, 8)])
    assert estimate.seconds == pytest.approx((3 - 1) + (9 - 5) + 1.0 * 8 + 5.0 * 2)


def test_guard_figures(tmp_path):
    guard = DiskGuard(tmp_path / "not" / "made", usage=lambda _: Usage(1000, 700, 200))
    assert guard.fraction() == pytest.approx(0.8)
    assert guard.available() == 150
    guard.require(150, "it")
    with pytest.raises(ValueError, match="it needs"):
        guard.require(151, "it")
    assert 0 <= DiskGuard(tmp_path / "not" / "made").fraction() <= 1
    with pytest.raises(ValueError, match=r"warn=0\.9, stop=0\.8"):
        DiskGuard(tmp_path, warn=0.9, stop=0.8)
