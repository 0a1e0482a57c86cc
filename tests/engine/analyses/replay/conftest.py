"""A small replay, and the maker of sweeps that the tests of `patch_sweep` use."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from causeway.engine.analyses.replay import run
from causeway.engine.analyses.replay.recorded import Recorded

KINDS = ("baseline", "noop", "patch", "random")


@pytest.fixture(scope="session")
def tiny_sweep() -> ModuleType:
    place = Path(__file__).parents[1] / "patch_sweep" / "tiny_sweep.py"
    spec = importlib.util.spec_from_file_location("tiny_sweep", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_replay(tiny_sweep, transformer, dictionary):
    """A sampled sweep that records the patched features: `make_replay(kinds, **settings)`."""

    def make(kinds=KINDS, **settings):
        given = {"record": "patched", "top_logits": 5, "trials": 3, "segments": (2, 4), "scope": "last_prompt"}
        return tiny_sweep.make_sweep(transformer, dictionary, "sampled", kinds, **given | settings)

    return make


@pytest.fixture(scope="session")
def replayed(make_replay, tmp_path_factory):
    """Workdir, free and forced stores of a finished replay."""
    workdir = tmp_path_factory.mktemp("replay")
    assert not run.run(make_replay(), workdir).stopped
    return workdir, Recorded.open(workdir / "free", "replay"), Recorded.open(workdir / "teacher_forced", "replay")
