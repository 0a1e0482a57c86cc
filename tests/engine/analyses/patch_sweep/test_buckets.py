"""Narrower row buckets after memory ran out: which one fits, and that the prompts that are done keep theirs."""

import pyarrow.parquet as pq
import pytest

from causeway.engine import memory
from causeway.engine.analyses.patch_sweep import buckets, run
from causeway.engine.analyses.patch_sweep.exact_units import exact_unit

ARMS = ("baseline", "noop", "patch")


@pytest.fixture
def runs_out(monkeypatch):
    """`runs_out(unit)`: exact units from that one on find no memory for buckets of more than 4 rows."""

    def runs_out(first):
        def unit(sweep, index):
            if index >= first and sweep.bucket(index) > 4:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123456 bytes.")
            return exact_unit(sweep, index)

        monkeypatch.setattr(run, "exact_unit", unit)

    return runs_out


@pytest.fixture
def sweep(make_sweep):
    """Four prompts of two units each, of one bucket of eight rows."""
    return make_sweep("exact", ARMS, unit_buckets=1)


def test_a_sweep_goes_on_with_the_first_prompt_that_is_not_finished(sweep, make_sweep, tmp_path, runs_out):
    assert sweep.prompt_units == 2
    runs_out(3)
    assert run.run(sweep, tmp_path / "run").stopped == "memory"
    narrow = buckets.go_on(sweep, tmp_path / "run", 4)
    # Of the second prompt one unit of two was there: its arms are run in one bucket.
    assert narrow.settings.narrower == ((1, 4),)
    report = run.run(narrow, tmp_path / "run")
    assert (report.computed, report.stopped) == (6, "")
    whole, four = pq.read_table(report.table), make_sweep("exact", ARMS, rows=4, unit_buckets=2)
    wide = run.run(make_sweep("exact", ARMS, unit_buckets=1, prompts=sweep.prompts[:1]), tmp_path / "wide").table
    own = run.run(four, tmp_path / "four").table
    count = len(sweep.rows)
    assert whole.slice(0, count).equals(pq.read_table(wide))
    assert whole.slice(count).equals(pq.read_table(own).slice(count))


def test_the_same_declaration_resumes_and_a_narrower_one_goes_on_again(sweep, tmp_path, runs_out):
    runs_out(3)
    run.run(sweep, tmp_path)
    narrow = buckets.go_on(sweep, tmp_path, 4)
    run.run(narrow, tmp_path, guard=None)
    assert buckets.go_on(sweep, tmp_path, 4).plan.fingerprint == narrow.plan.fingerprint
    with pytest.raises(ValueError, match=r"rebucket: the run in .* is finished"):
        buckets.go_on(sweep, tmp_path, 2)


def test_twice_narrower_keeps_what_both_finished(sweep, tmp_path, runs_out, monkeypatch):
    runs_out(3)
    run.run(sweep, tmp_path)
    narrow = buckets.go_on(sweep, tmp_path, 4)

    def unit(sweep, index):
        if index >= 5 and sweep.bucket(index) > 2:
            raise MemoryError
        return exact_unit(sweep, index)

    monkeypatch.setattr(run, "exact_unit", unit)
    assert run.run(narrow, tmp_path).stopped == "memory"
    again = buckets.go_on(sweep, tmp_path, 2)
    assert again.settings.narrower == ((1, 4), (2, 2))
    assert [again.bucket(unit) for unit in range(8)] == [8, 8, 4, 4, 2, 2, 2, 2]
    report = run.run(again, tmp_path)
    assert (report.computed, report.stopped) == (4, "")


def test_narrower_from_an_earlier_prompt_on_leaves_no_wider_unit_behind(sweep, make_sweep, tmp_path, runs_out):
    runs_out(3)
    run.run(sweep, tmp_path / "run")
    narrow = buckets.go_on(sweep, tmp_path / "run", 4)
    run.run(narrow, tmp_path / "run")
    (tmp_path / "run" / "units" / "00000.parquet").unlink()
    runs_out(0)
    assert run.run(narrow, tmp_path / "run", repair=True).stopped == "memory"
    again = buckets.go_on(sweep, tmp_path / "run", 2)
    assert again.settings.narrower == ((1, 4), (0, 2))
    assert {again.bucket(unit) for unit in range(8)} == {2}
    assert {again.plan.fingerprint_of(unit) for unit in range(8)} == {again.plan.fingerprint}
    report = run.run(again, tmp_path / "run")
    assert (report.computed, report.stopped) == (8, "")
    own = run.run(make_sweep("exact", ARMS, rows=2, unit_buckets=4), tmp_path / "two").table
    assert pq.read_table(report.table).equals(pq.read_table(own))


@pytest.mark.parametrize(
    ("rows", "why"), [(8, "needs fewer rows than the run has now, 1 to 7"), (0, "got 0"), (4, "holds no run")]
)
def test_buckets_that_cannot_be_gone_on_with_are_refused(sweep, tmp_path, runs_out, rows, why):
    if rows != 4:
        runs_out(3)
        run.run(sweep, tmp_path)
    with pytest.raises(ValueError, match=f"rebucket: .*{why}"):
        buckets.go_on(sweep, tmp_path, rows)


def test_another_sweep_is_refused(sweep, make_sweep, tmp_path, runs_out):
    runs_out(3)
    run.run(sweep, tmp_path)
    with pytest.raises(ValueError, match="of another plan: seed"):
        buckets.go_on(make_sweep("exact", ARMS, unit_buckets=1, seed=1), tmp_path, 4)


def test_a_plan_of_one_bucket_does_not_speak_of_others(sweep):
    assert "narrower" not in sweep.plan.config["settings"]
    assert sweep.rebucketed().plan.fingerprint == sweep.plan.fingerprint


@pytest.mark.parametrize("outcome", ["exact", pytest.param("sampled", marks=pytest.mark.slow)])
def test_the_bucket_that_fits_follows_from_the_compilers_plan(make_sweep, monkeypatch, outcome):
    sweep = make_sweep(outcome, ("baseline", "patch"), rows=64)
    monkeypatch.setattr(memory, "resident_bytes", lambda: 0)
    needed = {rows: buckets._needed(sweep, rows) for rows in (1, 16, 64)}
    assert needed[1] < needed[16] < needed[64]
    monkeypatch.setattr(memory, "memory_there_bytes", lambda: needed[16] + 1000)
    found = buckets.fitting_bucket(sweep)
    assert found.rows in (8, 16, 32)
    assert found.needed == pytest.approx(needed[16], rel=1.5)
    assert f"--rebucket={found.rows}" in found.text()
    monkeypatch.setattr(memory, "memory_there_bytes", lambda: 10)
    assert buckets.fitting_bucket(sweep).rows == 0
    assert "no row bucket would fit" in buckets.fitting_bucket(sweep).text()
