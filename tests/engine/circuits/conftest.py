"""The frozen pass's tiny cases and its dense numpy, for interventions as well; models in float64."""

import importlib.util
from pathlib import Path
from types import ModuleType

import jax
import pytest


def _module(name: str) -> ModuleType:
    """A module of the frozen pass's tests."""
    path = Path(__file__).parents[1] / "frozen" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cases() -> ModuleType:
    return _module("cases")


@pytest.fixture(scope="session")
def plain_frozen() -> ModuleType:
    return _module("plain_frozen")


@pytest.fixture(scope="module")
def double():
    """float64 for all tests of a module."""
    with jax.enable_x64(True):
        yield
