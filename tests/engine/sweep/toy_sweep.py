"""A toy sweep on numpy: shared by the tests as a module, and run as a program where one is to be killed.

    python toy_sweep.py WORKDIR SECONDS_PER_UNIT CRASH_AT WORKERS

CRASH_AT n > 0: the process kills itself (SIGKILL) at its n-th fsync or rename.
"""

import itertools
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from causeway.engine.sweep.layout import ArraySpec, Layout, UnitResult
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store

SCHEMA = pa.schema(
    [
        pa.field("trial", pa.int64(), nullable=False),
        pa.field("answer", pa.string()),
        pa.field("p", pa.float32(), metadata={"unit": "probability"}),
    ]
)
ARRAYS = {
    "values": ArraySpec((3, 5), "float32", ("step", "feature"), {"scale": "SAE units"}),
    "ids": ArraySpec((), "int32", ()),
}


def make_plan(temperature: float = 0.7, unit_rows: tuple[int, ...] = (4, 4, 3, 4, 4, 2)) -> Plan:
    config = {"temperature": temperature, "features": [1, 2, 3], "arms": [{"name": "noop"}]}
    return Plan("toy", config, {"weights": "a" * 64, "rows": "1"}, unit_rows, Layout(SCHEMA, arrays=ARRAYS))


def make_result(plan: Plan, unit: int) -> UnitResult:
    """Rows and arrays of a unit; unit 1 is all zeros, which zarr by default would not store."""
    rows = plan.unit_rows[unit]
    random = np.random.default_rng(unit)
    values = random.normal(size=(rows, 3, 5)).astype(np.float32) * (unit != 1)
    columns = {
        "trial": np.arange(rows) + unit * plan.rows_per_unit,
        "answer": [None if unit == 2 else f"answer {i % 2}" for i in range(rows)],
        "p": random.uniform(size=rows).astype(np.float32),
    }
    return UnitResult(columns, {"values": values, "ids": np.full(rows, unit, np.int32)})


def crash_at(call: int) -> None:
    """Makes this process kill itself at its `call`-th fsync or rename."""
    calls = itertools.count(1)

    def counted(function):
        def wrapper(*args):
            if next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args)

        return wrapper

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)


def main(workdir: str, seconds: str, crash: str, workers: str) -> None:
    plan = make_plan()

    def compute(unit: int) -> UnitResult:
        time.sleep(float(seconds))
        return make_result(plan, unit)

    if int(crash):
        crash_at(int(crash))
    report = run_sweep(Store(Path(workdir), plan), [compute] * int(workers))
    sys.exit(3 if report.stopped else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
