"""Where a command that reads many prompts keeps what it has read, so that the same command goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.model.handle import Model
    from causeway.engine.reading.job import Kept

FLAGS = take("workdir")


def kept(model: Model, *names: str) -> Kept | None:
    """Where one reading of the command is kept; None without --workdir, where nothing is."""
    if not FLAGS.workdir:
        return None
    from causeway.engine.reading.job import Kept

    return Kept(Path(FLAGS.workdir, *names), model.fingerprint)
