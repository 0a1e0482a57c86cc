"""Flags of the processes that compute one run together, for every command whose run resumes from --workdir."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from causeway.drivers.flags.flag_values import given, no_effect

if TYPE_CHECKING:
    from causeway.engine.sweep.processes import Share

FLAGS = flags.FLAGS


@contextlib.contextmanager
def joined(command: str) -> Iterator[None]:
    """This process as one of those that --worker says, while the block lasts; said when another one writes results.

    Raises:
        ValueError: no such worker, or it runs already.
    """
    if "worker" not in FLAGS or not FLAGS.worker:
        yield
        return
    from causeway.engine.sweep.processes import ShareDone, joined

    try:
        with joined(_share(), Path(given("workdir", "with --worker, the folder in which the workers meet"))):
            yield
    except ShareDone as done:
        print(f"{command}: {done}")


def _share() -> Share:
    from causeway.engine.sweep.processes import Worker

    if "plan" in FLAGS and FLAGS.plan:
        no_effect("with --plan, which computes nothing", "worker")
    return Worker.read(FLAGS.worker)
