"""The toy sweep as a fixture: a module beside this file, which the killed programs run too."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOY = Path(__file__).with_name("toy_sweep.py")


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("toy_sweep", TOY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def finished(toy, tmp_path):
    """The store of an uninterrupted toy sweep."""
    from causeway.engine.sweep.runner import run_sweep
    from causeway.engine.sweep.store import Store

    plan = toy.make_plan()
    store = Store(tmp_path / "finished", plan)
    run_sweep(store, lambda unit: toy.make_result(plan, unit))
    return store
