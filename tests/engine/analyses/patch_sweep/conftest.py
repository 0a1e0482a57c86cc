"""The tiny sweep as a fixture: a module beside this file."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def tiny_sweep() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiny_sweep", Path(__file__).with_name("tiny_sweep.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make_sweep(tiny_sweep, transformer, dictionary):
    """A sweep over the shared model: `make_sweep(outcome, kinds, **settings)`."""
    return lambda *args, **settings: tiny_sweep.make_sweep(transformer, dictionary, *args, **settings)
