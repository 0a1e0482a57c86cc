"""The toy study as a fixture."""

import pytest

from tests.engine.analyses.study.toy_study import Toy


@pytest.fixture
def toy(tmp_path):
    return Toy(tmp_path / "work")
