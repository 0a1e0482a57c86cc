"""A command in a process that somebody else started, as one of several that share it: what Ray makes an actor of."""

import contextlib
import dataclasses
import importlib
import io
import os
from pathlib import Path
from typing import Any

from absl import flags

from causeway.engine.compilation_cache import keep_compiled_programs


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended in an actor: whether it wrote the results, what it printed, its status, what was refused."""

    led: bool = False
    said: str = ""
    status: int = 0
    error: str = ""


class Actor:
    """A process that runs a command as one of several."""

    def run(self, command: list[str], place: str, share: Any) -> Ended:
        """The command, run in a folder, of which this process has a share."""
        from causeway.engine.sweep.processes import ShareDone, joined

        os.chdir(place)
        keep_compiled_programs()
        driver = importlib.import_module(f"causeway.drivers.{Path(command[0].split()[-1]).stem}")
        flags.FLAGS(command)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            try:
                with joined(share, Path(flags.FLAGS.workdir)):
                    driver.main([command[0]])
            except ShareDone:
                return Ended()
            except SystemExit as end:
                return Ended(said=out.getvalue(), status=end.code if isinstance(end.code, int) else 2)
            except (ValueError, OSError, MemoryError) as error:
                return Ended(status=2, error=str(error))
        return Ended(led=True, said=out.getvalue())
