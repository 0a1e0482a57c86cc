"""Damaged files: every one is read or refused in one line, in 5 seconds and 1 GB; nothing else ever comes of them.

A few of every kind always; 2,000 among the slow tests. A failure names case, file and number: the same number makes
the same file again, which is kept where the message says.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.ports.fuzz.cases import CASES
from tests.ports.fuzz.mutations import mutated

SEED = 20261128
FILES, SAMPLE = 2000, 2
SECONDS, MEGABYTES, PATIENCE = 5, 1024, 60


class Worker:
    """A process that reads folders, started again when it had to be killed."""

    def __init__(self):
        self._process: subprocess.Popen | None = None

    def read(self, loader: str, folder: Path) -> dict:
        """What came of a folder; a process that hangs or dies is a result as well."""
        process = self._process or self._start()
        process.stdin.write(json.dumps([loader, str(folder)]) + "\n")
        process.stdin.flush()
        timer = threading.Timer(PATIENCE, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        if not line:
            self.close()
            return {"result": f"died or hung ({process.returncode})", "message": "", "seconds": 0, "megabytes": 0}
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> subprocess.Popen:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        assert self._process.stdout.readline() == "ready\n"
        return self._process


@pytest.fixture(scope="module")
def worker():
    found = Worker()
    yield found
    found.close()


@pytest.fixture
def case(request, tmp_path):
    found = CASES[request.param]
    if found.torch:
        pytest.importorskip("torch")
    found.write(tmp_path / "valid")
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, indirect=True)
def test_a_few_damaged_files_of_every_kind(worker, case, tmp_path):
    folder = tmp_path / "valid"
    assert worker.read(CASES[case].loader, folder)["result"] == "read", worker.read(CASES[case].loader, folder)
    _damage(worker, case, folder, range(SAMPLE))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, indirect=True)
def test_two_thousand_damaged_files(worker, case, tmp_path):
    _damage(worker, case, tmp_path / "valid", range(SAMPLE, FILES // len(CASES) + 1))


def _damage(worker: Worker, case: str, valid: Path, numbers: range) -> None:
    """Damage one file a number, and hold what comes of it to what may."""
    patterns = CASES[case].damaged
    files = sorted({path for pattern in patterns for path in valid.glob(pattern) if path.is_file()})
    for number in numbers:
        rng = np.random.default_rng([SEED, zlib.crc32(case.encode()), number])
        chosen = files[rng.integers(len(files))]
        whole = chosen.read_bytes()
        try:
            chosen.write_bytes(mutated(whole, chosen.name, rng))
            came = worker.read(CASES[case].loader, valid)
            problem = _problem(came)
            if problem:
                kept = valid.with_name(f"failed-{number}")
                shutil.copytree(valid, kept)
                raise AssertionError(f"{case}, {chosen.name}, number {number} in {kept}: {problem}")
        finally:
            chosen.write_bytes(whole)


def _problem(came: dict) -> str:
    """What may not be, "" for nothing."""
    if came["result"] not in ("read", "refused"):
        return f"{came['result']}\n{came['message']}"
    if came["seconds"] > SECONDS or came["megabytes"] > MEGABYTES:
        return f"{came['seconds']:.1f} s, {came['megabytes']:.0f} MB more; {came['message']}"
    if came["result"] == "refused" and ("\n" in came["message"] or not came["message"]):
        return f"not one line: {came['message']!r}"
    return ""
