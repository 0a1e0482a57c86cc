"""Shared fixtures. Devices are forced before jax is imported, so that multi-device tests run on any machine."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real models and texts, or a skip that says where it was looked for."""
    candidates = [os.environ.get("CAUSEWAY_DATA"), Path(__file__).resolve().parents[2] / "shared" / "data"]
    for candidate in candidates:
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    pytest.skip("real data not found: set CAUSEWAY_DATA or put it at ../shared/data")
