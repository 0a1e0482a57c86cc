"""Where a command that reads many prompts keeps what it has read, so that the same command goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.model.handle import Model
    from causeway.engine.reading.job import Kept

FLAGS = take("workdir")


def claim(out: Path, name: str) -> None:
    """Say in --workdir that what of this name is in --out is this run's own from here on."""
    if FLAGS.workdir:
        from causeway.engine.sweep import durable

        durable.make_folder(_claim(name).parent)
        durable.write_bytes(_claim(name), bytes(out.resolve()))


def claimed(out: Path, name: str) -> bool:
    """Whether an earlier, killed run of --workdir has begun to write what of this name is in --out."""
    there = bool(FLAGS.workdir) and _claim(name).is_file()
    return there and _claim(name).read_bytes() == bytes(out.resolve())


def _claim(name: str) -> Path:
    return Path(FLAGS.workdir, name, "out.txt")


def kept(model: Model, *names: str) -> Kept | None:
    """Where one reading of the command is kept; None without --workdir, where nothing is."""
    if not FLAGS.workdir:
        return None
    from causeway.engine.reading.job import Kept

    return Kept(Path(FLAGS.workdir, *names), model.fingerprint)
