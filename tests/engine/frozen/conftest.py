"""What the tests of the frozen pass share: tiny cases, and everything once more as dense numpy."""

import importlib.util
from pathlib import Path
from types import ModuleType

import jax
import pytest


def _module(name: str) -> ModuleType:
    """A module that lies beside this file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cases() -> ModuleType:
    return _module("cases")


@pytest.fixture(scope="session")
def plain_frozen() -> ModuleType:
    return _module("plain_frozen")


@pytest.fixture(scope="session")
def plain_graph() -> ModuleType:
    return _module("plain_graph")


@pytest.fixture(scope="module")
def double():
    """float64 for all tests of a module."""
    with jax.enable_x64(True):
        yield
