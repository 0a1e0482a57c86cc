"""Connecting to a cluster of Ray, or to one of this machine that ends with the command."""

import logging
import os
import signal
from collections.abc import Mapping
from typing import Any

# Variables with these beginnings are handed on. Ray shows them to whoever sees the cluster, so secrets are not.
_KEPT, _SECRET = ("JAX_", "XLA_", "CAUSEWAY_", "HF_"), "TOKEN"
_OBJECT_STORE_BYTES = 10**8


def connected(address: str) -> Any:
    """The module `ray`, connected to a cluster or to one that it starts, without Ray's own answer to SIGTERM.

    Args:
        address: local, auto, or of a cluster.

    Raises:
        ValueError: Ray is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ImportError:
        raise ValueError("ray: is not installed; pip install 'causeway[ray]'") from None
    own: dict[str, Any] = {"object_store_memory": _OBJECT_STORE_BYTES, "include_dashboard": False}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address, runtime_env={"env_vars": kept(os.environ)}, logging_level=logging.ERROR,
            **(own if address == "local" else {}),
        )  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"ray: got {address}, where no cluster answers ({error}); give local, auto or an address"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, handler)
    return ray


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings among variables of the environment that an actor has as this process has them."""
    return {name: value for name, value in environment.items() if name.startswith(_KEPT) and _SECRET not in name}
