"""What the tests of the engine share: tiny models, a plain decoder to hold them against, counted compilations."""

import contextlib
import importlib.util
from pathlib import Path
from types import ModuleType

import jax
import pytest


def _module(name: str, folder: str = ".") -> ModuleType:
    """A module that lies beside this file or in a folder there."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    return _module("tiny")


@pytest.fixture(scope="session")
def plain() -> ModuleType:
    return _module("plain")


@pytest.fixture(scope="session")
def cases() -> ModuleType:
    """Tiny models with transcoders of every kind, for attribution and interventions."""
    return _module("cases", "frozen")


@pytest.fixture(scope="session")
def plain_frozen() -> ModuleType:
    """The frozen pass as dense numpy."""
    return _module("plain_frozen", "frozen")


@pytest.fixture(scope="session")
def plain_orders() -> ModuleType:
    """Effects of neurons through attention as dense numpy."""
    return _module("plain_orders", "frozen")


@pytest.fixture(scope="session")
def plain_graph() -> ModuleType:
    """Pruning and scores as dense numpy."""
    return _module("plain_graph", "frozen")


@pytest.fixture(scope="session")
def contents():
    """Bytes of a store's files, by relative path: those that are a function of the plan alone."""

    def read(store):
        kinds = ("*.parquet", "units/**/*.parquet", "*.zarr/**/*")
        paths = sorted(path for kind in kinds for path in store.workdir.glob(kind) if path.is_file())
        return {path.relative_to(store.workdir).as_posix(): path.read_bytes() for path in paths}

    return read


@pytest.fixture(scope="module")
def double():
    """float64 for all tests of a module."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def transformer(tiny):
    """Three layers, grouped queries, tied embeddings, float32."""
    return tiny.make_transformer()


@pytest.fixture(scope="session")
def dictionary(tiny):
    """JumpReLU dictionaries on resid_post of layers 0 and 2."""
    return tiny.make_dictionary()


@pytest.fixture(scope="session")
def _compiled() -> list[str]:
    names: list[str] = []

    def listen(event: str, _: float, fun_name: str = "", **__) -> None:
        if event.endswith("backend_compile_duration"):
            names.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return names


@pytest.fixture
def compilations(_compiled):
    """A context that yields the list of programs compiled inside it."""

    @contextlib.contextmanager
    def watch():
        names, before = [], len(_compiled)
        yield names
        names.extend(_compiled[before:])

    return watch


@pytest.fixture
def refuses():
    """A context like `pytest.raises(ValueError, match=...)` that also wants the message on one line."""

    @contextlib.contextmanager
    def expect(match: str):
        with pytest.raises(ValueError, match=match) as caught:
            yield
        assert "\n" not in str(caught.value)

    return expect


@pytest.fixture
def counted(monkeypatch):
    """What the outermost step counts meanwhile, each advance by its number."""
    from causeway.engine import progress

    counts = []

    def advance(step, count=1):
        if progress._open[0] is step:
            counts.append(count)

    monkeypatch.setattr(progress.Step, "advance", advance)
    return counts
