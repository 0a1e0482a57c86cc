"""Let me watch it: the page of `causeway report` over a folder that is still being written.

Read from --workdir, which may be empty yet. The page is on this machine alone (127.0.0.1), at the address that is
printed; it changes as units of a sweep are finished, without being loaded again. Nothing but the page is served: no
file, no other name, no other site's request. Ctrl-C ends it. Nothing is written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from causeway.drivers.flags.flag_values import given, named
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

FLAGS = take("shown_folder port")


def main(_: list[str]) -> None:
    """Listen, say where, and serve until somebody ends it."""
    workdir = Path(given("workdir", "the folder of a command's results, or one that holds several such"))
    if not workdir.is_dir():
        raise ValueError(f"--workdir: got {workdir}; needs a folder that is there, though it may still be empty")
    from causeway.drivers.main import QUESTIONS, versions
    from causeway.ports.pages.live import LivePage
    from causeway.ports.pages.sections import sections_of
    from causeway.ports.pages.server import PageServer
    from causeway.ports.pages.workdir import find_results

    title, made = f"Results in {workdir.absolute().name}", f"Made by causeway serve: {versions()}"
    page = LivePage(workdir, lambda: sections_of(find_results(workdir), QUESTIONS), title, made)
    with named("port"):
        server = PageServer(page, FLAGS.port)
    try:
        # The first time takes seconds, which nobody should spend in front of an empty window.
        page.now()
        print(f"{server.url} shows {workdir} as it changes; Ctrl-C ends it", flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        print("stopped; nothing was written")
    finally:
        server.server_close()


if __name__ == "__main__":
    run_driver(main, sys.argv)
