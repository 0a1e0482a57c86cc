"""Where and with what a sweep ran: recorded beside the plan, never part of its fingerprint.

A sweep may be resumed on another machine or another version; its bits then need not equal those of one run in one
place, so a change of what decides them is told to the person, not refused.
"""

import functools
import platform
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

# A change of one of these may change bits; the others are for the record.
DECIDES_BITS = ("jax", "jaxlib", "numpy", "device")


def environment() -> dict[str, str]:
    """Versions, device kind, host and state of the code."""
    versions = {name: _version(name) for name in ("causeway", "jax", "jaxlib", "numpy", "pyarrow", "tensorstore")}
    return {
        **versions,
        "python": platform.python_version(),
        "device": _device_kind(),
        "host": socket.gethostname(),
        "code": _code_state(),
    }


def bits_may_differ(before: dict[str, str], now: dict[str, str]) -> str:
    """The changes between two environments that may change bits, as text; empty when there are none."""
    changed = [name for name in DECIDES_BITS if before.get(name) != now.get(name)]
    return "; ".join(f"{name}: {before.get(name)} before, {now.get(name)} now" for name in changed)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _device_kind() -> str:
    """Kind of the first device, without starting a backend for a sweep that never imported jax."""
    jax = sys.modules.get("jax")
    return jax.devices()[0].device_kind if jax else f"host {platform.machine()}"


@functools.cache
def _code_state() -> str:
    """Commit of the checkout this file belongs to, with `-dirty` if changed; `installed` outside a checkout."""
    source = Path(__file__).resolve()
    git = ["git", "-C", str(source.parent)]
    try:
        # A virtual environment inside somebody's repository must not report that repository's commit.
        subprocess.run([*git, "ls-files", "--error-unmatch", source.name], check=True, capture_output=True, timeout=10)
        described = subprocess.run(
            [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            check=True,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "installed"
    return described.stdout.strip()
