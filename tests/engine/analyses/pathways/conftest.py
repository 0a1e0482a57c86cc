"""The bundled model, and a network in which one feature drives the next by construction."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def built():
    """The network of `built_network.py`."""
    spec = importlib.util.spec_from_file_location("built_network", Path(__file__).parent / "built_network.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def bundled():
    """The bundled model and its SAEs."""
    import causeway as cw

    model = cw.load_model("bundled:tiny")
    return model, cw.load_dictionaries("bundled:tiny", for_model=model)
