"""A replay that was interrupted, in whatever order its units came, has the bytes of one that was not."""

import shutil

import pytest

from causeway.engine.analyses.patch_sweep.run import PatchJob
from causeway.engine.analyses.replay import run
from causeway.engine.analyses.replay.forced import ForcedJob, continuations, edited_arms
from causeway.engine.analyses.replay.pathways import PathwaySettings
from causeway.engine.analyses.replay.recorded import Recorded
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store

STORES = ("free", "teacher_forced")


@pytest.fixture(scope="module")
def contents():
    """Bytes of everything that is a function of the plan, by path."""

    def read(workdir):
        kinds = ("*.parquet", *(f"{n}/{kind}" for n in STORES for kind in ("**/*.parquet", "*.zarr/**/*")))
        paths = {path for kind in kinds for path in workdir.glob(kind) if path.is_file()}
        return {str(path.relative_to(workdir)): path.read_bytes() for path in sorted(paths)}

    return read


@pytest.mark.slow
def test_interrupted_and_resumed_in_another_order_nothing_differs(make_replay, replayed, contents, tmp_path):
    workdir, _, _ = replayed
    run.read_stores(workdir, PathwaySettings())
    sweep = make_replay()
    # The last units first, then a stop, then the same call as always.
    run_sweep(Store(tmp_path / "free", sweep.plan), PatchJob(sweep).unit, units=[5, 2])
    run_sweep(Store(tmp_path / "free", sweep.plan), PatchJob(sweep).unit)
    forced = ForcedJob(edited_arms(sweep), continuations(Recorded.open(tmp_path / "free", "replay")))
    run_sweep(Store(tmp_path / "teacher_forced", forced.plan), forced.unit, units=[3])
    assert not run.run(sweep, tmp_path).stopped
    run.read_stores(tmp_path, PathwaySettings())
    found, expected = contents(tmp_path), contents(workdir)
    assert len(found) > 20
    assert found == expected


def test_a_damaged_recording_is_refused_and_repaired(make_replay, replayed, contents, tmp_path):
    workdir, _, _ = replayed
    run.read_stores(workdir, PathwaySettings())
    copy = shutil.copytree(workdir, tmp_path / "copy")
    shard = next(path for path in sorted(copy.glob("teacher_forced/*.zarr/values/c/**/*")) if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(ValueError, match="rerun with --repair"):
        run.read_stores(copy, PathwaySettings())
    assert not run.run(make_replay(), copy, repair=True).stopped
    run.read_stores(copy, PathwaySettings())
    assert contents(copy) == contents(workdir)


def test_tokens_of_another_free_run_are_another_plan(make_replay, replayed, tmp_path, refuses):
    workdir, _, _ = replayed
    copy = shutil.copytree(workdir, tmp_path / "copy")
    shutil.rmtree(copy / "free")
    with refuses("is of another plan"):
        run.run(make_replay(seed=1), copy)
